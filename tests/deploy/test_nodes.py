"""Image, compose and Kubernetes run the node that there is: its ports, flags, paths, probes and user."""

import re
from pathlib import PurePosixPath

import pytest

from tests.deploy.documents import (
    COMPOSE,
    Document,
    base,
    compose,
    compose_nodes,
    container,
    image_environment,
    of_kind,
    pod,
    text,
)
from zraft.actors.http import health
from zraft.cli.leader import transfer
from zraft.cli.node import node, settings_of
from zraft.client.client import ENDPOINTS_VARIABLE
from zraft.config import Settings
from zraft.core.restarts import GATEWAY_STOP_SECONDS, STOP_SECONDS

PORTS = set(Settings().ports().values())
USER = 10001
OPTIONS = {f"ZRAFT_{name.upper()}" for name in Settings.__struct_fields__}


def pod_environment(name: str) -> dict[str, str]:
    """What a pod's container is given; $(NAME) stands for what was given before."""
    given = {"POD_NAME": name, "POD_NAMESPACE": "zraft"}
    for one in container(base())["env"]:
        if "value" in one:
            given[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: given[match[1]], one["value"])
    return given


def compose_environment(name: str) -> dict[str, str]:
    """What compose gives a container, with nothing in its own environment."""
    given: dict[str, str] = compose_nodes()[name]["environment"]
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in given.items()}


FIRST = [f"zraft-{number}" for number in range(3)]
LATER = "zraft-4"
NODES = [
    *((name, pod_environment(name)) for name in [*FIRST, LATER]),
    *((name, compose_environment(name)) for name in compose_nodes()),
]


@pytest.mark.parametrize(("name", "environment"), NODES, ids=[name for name, _ in NODES])
def test_the_environment_is_a_node(name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = image_environment() | environment
    variables = {key for key in given if key.startswith("ZRAFT_") and key != ENDPOINTS_VARIABLE}
    assert variables <= OPTIONS
    settings = settings_from(given, monkeypatch)
    assert settings.id == name
    assert (name in settings.peers) == (name != LATER)
    assert set(settings.ports().values()) == PORTS  # the manifests name the default ports
    assert all(int(address.split(":")[1]) == settings.peer_port for address in settings.peers.values())
    assert settings.host == "0.0.0.0"
    # A container is stopped for up to a period of 100 ms when its CPU is used up: two of them make no election.
    assert settings.election_timeout_min_ms >= 2 * 100 + settings.heartbeat_ms


def settings_from(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As `zraft node` reads them."""
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    values = node.make_context("node", []).params
    return settings_of(values.pop("config"), values)


@pytest.mark.parametrize("name", [*FIRST, LATER])
def test_a_pod_without_a_place_joins_the_first_members(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is new, or has lost its volume; they know then where it is, by a name that lasts."""
    settings = settings_from(image_environment() | pod_environment(name), monkeypatch)
    assert settings.join_endpoints() == tuple(f"{one}.zraft-peers:{settings.port}" for one in FIRST)
    assert settings.peers.keys() == set(FIRST)
    in_namespace = "" if name in FIRST else ".zraft.svc"
    assert settings.peer_endpoint() == f"{name}.zraft-peers{in_namespace}:{settings.peer_port}"


def test_a_pod_hands_over_before_it_is_stopped() -> None:
    """By the command line that there is, to itself, and with time left for an orderly stop."""
    program, *words = container(base())["lifecycle"]["preStop"]["exec"]["command"]
    assert (program, words[:2]) == ("zraft", ["leader", "transfer"])
    values = transfer.make_context("transfer", words[2:]).params
    assert values["from_self"] is True
    assert image_environment()[ENDPOINTS_VARIABLE] == f"127.0.0.1:{Settings().port}"
    assert pod(base())["terminationGracePeriodSeconds"] > values["timeout"] + STOP_SECONDS + GATEWAY_STOP_SECONDS


def test_all_nodes_have_the_same_shortest_time_out() -> None:
    """It is a part of the cluster's identity."""
    for prefix in ("zraft-", "node-"):
        assert len({one["ZRAFT_ELECTION_TIMEOUT_MIN_MS"] for name, one in NODES if name.startswith(prefix)}) == 1


def test_peers_are_the_pods_of_the_headless_service() -> None:
    found = base()
    stateful = of_kind(found, "StatefulSet", "zraft")["spec"]
    service = of_kind(found, "Service", stateful["serviceName"])
    names = [f"zraft-{number}" for number in range(stateful["replicas"])]
    expected = {name: f"{name}.{service['metadata']['name']}:7080" for name in names}
    assert settings_of(None, {"id": "zraft-0", "peers": pod_environment("zraft-0")["ZRAFT_PEERS"]}).peers == expected
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert stateful["podManagementPolicy"] == "Parallel"


def test_the_name_of_the_service_sets_no_setting() -> None:
    """For a Service zraft, Kubernetes would set ZRAFT_PORT=tcp://..., which is the variable of --port."""
    assert of_kind(base(), "Service", "zraft")
    assert pod(base())["enableServiceLinks"] is False


def test_ports_are_those_of_a_node() -> None:
    found = base()
    by_name = {one["name"]: one["containerPort"] for one in container(found)["ports"]}
    assert set(by_name.values()) == PORTS
    for name in ("zraft", "zraft-peers"):
        for port in of_kind(found, "Service", name)["spec"]["ports"]:
            assert by_name[port["targetPort"]] == port["port"]
    exposed = re.findall(r"^EXPOSE (.+)$", text(COMPOSE / "Dockerfile"), re.MULTILINE)
    assert {int(port) for line in exposed for port in line.split()} == PORTS
    for rule in of_kind(found, "NetworkPolicy", "zraft")["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= by_name.keys()
    targets = {port.rsplit(":", 1)[1] for one in compose_nodes().values() for port in one["ports"]}
    assert targets == {"8080", "9090"}


def test_compose_publishes_to_this_machine_alone_and_each_port_once() -> None:
    published = [port for one in compose()["services"].values() for port in one.get("ports", ())]
    assert all(port.startswith("${ZRAFT_ADDRESS:-127.0.0.1}:") for port in published)
    ports = [port.split(":")[-2] for port in published]
    assert len(ports) == len(set(ports))
    for name in compose_nodes():
        advertised = compose_environment(name)["ZRAFT_ADVERTISE"].split(":")[1]
        assert any(port.endswith(f":{advertised}:8080") for port in compose_nodes()[name]["ports"])


def test_the_load_balancer_is_open_to_nobody_who_is_not_named() -> None:
    service = of_kind(base(), "Service", "zraft")["spec"]
    assert service["type"] == "LoadBalancer"
    assert service["loadBalancerSourceRanges"] == ["127.0.0.1/32"]
    assert {port["port"] for port in service["ports"]} == {8080, 9090}


def test_all_run_as_the_user_of_the_image_without_rights() -> None:
    assert f"USER {USER}:{USER}" in text(COMPOSE / "Dockerfile")
    security = pod(base())["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (USER, USER, USER)
    assert security["runAsNonRoot"] is True
    own = container(base())["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    for one in compose_nodes().values():
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert f"uid={USER}" in one["tmpfs"][0]


def test_what_is_written_has_a_place() -> None:
    """Beside the data there are only the files of a running node: both places are given to every node."""
    image = image_environment()
    data = PurePosixPath(image["ZRAFT_DATA_DIR"])
    mounts = {mount["mountPath"]: mount["name"] for mount in container(base())["volumeMounts"]}
    assert mounts[str(data.parent)] == "data"
    assert mounts[pod_environment("zraft-0")["XDG_RUNTIME_DIR"]] == "run"
    assert f'VOLUME ["{data.parent}"]' in text(COMPOSE / "Dockerfile")
    for name, one in compose_nodes().items():
        assert one["volumes"] == [f"{name}:{data.parent}"]
        assert one["tmpfs"][0].startswith(compose_environment(name)["XDG_RUNTIME_DIR"] + ":")


def test_the_image_runs_the_command_that_there_is() -> None:
    dockerfile = text(COMPOSE / "Dockerfile")
    assert 'ENTRYPOINT ["dumb-init", "--single-child", "--", "zraft"]' in dockerfile
    assert 'CMD ["node"]' in dockerfile
    assert container(base())["args"] == ["node"]


def probe_path(probe: Document) -> str:
    assert probe["httpGet"]["port"] == "http"
    path: str = probe["httpGet"]["path"]
    return path


def test_probes_restart_nothing_that_a_restart_does_not_help() -> None:
    """Without a leader, or with a failed disk, a node is alive: only who asks whether it is ready is told no."""
    resources = health("node-1", lambda: "the disk has failed")
    one = container(base())
    for probe in ("startupProbe", "livenessProbe"):
        assert resources[probe_path(one[probe])]()[0] == 200
    assert resources[probe_path(one["readinessProbe"])]()[0] == 503
    paths = re.findall(r"'(/health/\w+)'", text(COMPOSE / "Dockerfile"))
    assert [resources[path]()[0] for path in paths] == [200]


def test_there_is_time_for_an_orderly_stop() -> None:
    needed = STOP_SECONDS + GATEWAY_STOP_SECONDS
    assert pod(base())["terminationGracePeriodSeconds"] > needed
    for one in compose_nodes().values():
        assert int(one["stop_grace_period"].removesuffix("s")) > needed


def test_limits_and_disk_are_what_is_told() -> None:
    assert container(base())["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    (claim,) = of_kind(base(), "StatefulSet", "zraft")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "10Gi"}
    assert all((one["cpus"], one["mem_limit"]) == (1.0, "1g") for one in compose_nodes().values())
