"""The overlays as kustomize builds them, held against the schemas of the API server, unknown fields refused."""

import kubernetes_validate
import pytest

from tests.deploy.documents import DEPLOY, OVERLAYS, Document, built, container, documents, of_kind, pod
from zraft.version import __version__

VERSIONS = ("1.25", "1.29", "1.34")
"""The oldest that is told to be enough, and later ones."""


def require_valid(one: Document, version: str) -> None:
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        pytest.fail(f"{one['kind']} {one['metadata']['name']}: {error.message}", pytrace=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str, version: str) -> None:
    for one in built(overlay):
        require_valid(one, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_prometheus_is_valid(version: str) -> None:
    for one in documents(DEPLOY / "prometheus.yaml"):
        require_valid(one, version)


def test_a_field_that_does_not_exist_is_found() -> None:
    (one,) = documents(DEPLOY / "base" / "poddisruptionbudget.yaml")
    one["spec"]["maxUnavaliable"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_the_namespace_and_selects_the_pods(overlay: str) -> None:
    found = built(overlay)
    assert {one["metadata"]["namespace"] for one in found} == {"zraft"}
    labels = of_kind(found, "StatefulSet", "zraft")["spec"]["template"]["metadata"]["labels"].items()
    for name in ("zraft", "zraft-peers"):
        assert of_kind(found, "Service", name)["spec"]["selector"].items() <= labels
    budget = of_kind(found, "PodDisruptionBudget", "zraft")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    assert of_kind(found, "NetworkPolicy", "zraft")["spec"]["podSelector"]["matchLabels"].items() <= labels


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_who_may_come_from_outside_is_said(overlay: str) -> None:
    ranges = of_kind(built(overlay), "Service", "zraft")["spec"]["loadBalancerSourceRanges"]
    assert ranges
    assert "0.0.0.0/0" not in ranges


def test_production_spreads_its_members_and_takes_what_it_may() -> None:
    found = built("production")
    one = container(found)
    assert one["resources"]["requests"] == one["resources"]["limits"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in pod(found)["affinity"]["podAntiAffinity"]
    assert pod(found)["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert one["image"].endswith(f":{__version__}")  # older ones don't know all of these settings


def test_trying_needs_one_machine_and_an_image_that_was_made_there() -> None:
    found = built("try")
    assert list(pod(found)["affinity"]["podAntiAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert (container(found)["image"], container(found)["imagePullPolicy"]) == ("zraft:latest", "IfNotPresent")
