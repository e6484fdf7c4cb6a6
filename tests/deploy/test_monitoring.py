"""Alerts and dashboard speak of metrics that there are, and the runbook of all alerts."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from tests.deploy.documents import COMPOSE, DEPLOY, ROOT, compose, documents, of_kind, text
from tools import alert_manifests
from tools.dashboard import queries
from zraft.actors.metrics import NodeMetrics

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
OURS = re.compile(r"\b(?:raft|zraft|process)_[a-z_]+\b")


@pytest.fixture
def families(tmp_path: Path) -> list[Metric]:
    """All that /metrics may show."""
    node = NodeMetrics(tmp_path, tmp_path, is_ready=lambda: True, pids=dict, restarts=dict, voters=int)
    counted = [one for one in REGISTRY.collect() if one.name.startswith(("raft_", "zraft_"))]
    return [*counted, *node.collect()]


@pytest.fixture
def names(families: list[Metric]) -> set[str]:
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def rules() -> list[dict[str, Any]]:
    (file,) = documents(DEPLOY / "alerts.yaml")
    return [rule for group in file["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(DEPLOY / "grafana-dashboard.json"))
    return found


def test_alerts_speak_of_metrics_that_there_are(names: set[str]) -> None:
    for rule in rules():
        used = set(OURS.findall(rule["expr"]))
        assert used <= names, rule["alert"]
        assert used or "up{" in rule["expr"]


def test_panels_speak_of_metrics_that_there_are(names: set[str]) -> None:
    for query in queries(dashboard()):
        used = set(OURS.findall(query.expression))
        assert used, query.panel
        assert used <= names, query.panel
        assert "$" not in query.expression, query.panel


def test_the_runbook_lists_all_metrics_and_no_others(families: list[Metric]) -> None:
    table = re.findall(r"^\| `([a-z_]+)(?:\{[a-z, ]+\})?` \|", text(DEPLOY / "README.md"), re.MULTILINE)
    assert len(table) == len(set(table))
    assert set(table) == {one.name + ("_total" if one.type == "counter" else "") for one in families}


def test_each_alert_says_how_bad_what_and_where_it_is_told() -> None:
    headings = re.findall(r"^#+ (.+)$", text(DEPLOY / "README.md"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "deploy/README.md"
        assert anchor in anchors, rule["alert"]


def test_each_alert_is_seen_silent_and_firing() -> None:
    (cases,) = documents(ROOT / "tests" / "deploy" / "alerts_test.yaml")
    seen = [case for test in cases["tests"] for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in seen if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in seen if not case["exp_alerts"]} == alerts


@pytest.mark.parametrize("name", alert_manifests.COPIES)
def test_copies_of_the_rules_are_fresh(name: str) -> None:
    assert text(DEPLOY / name) == alert_manifests.rendered(name), "run `make docs`"


def test_the_copies_hold_the_rules() -> None:
    config = of_kind(documents(DEPLOY / "prometheus.yaml"), "ConfigMap", "prometheus")["data"]
    (file,) = documents(DEPLOY / "alerts.yaml")
    assert yaml.safe_load(config["alerts.yaml"]) == file
    operator = documents(DEPLOY / "servicemonitor.yaml")
    assert of_kind(operator, "PrometheusRule", "zraft")["spec"] == file
    monitor = of_kind(operator, "ServiceMonitor", "zraft")["spec"]
    peers = of_kind(documents(DEPLOY / "base" / "service.yaml"), "Service", "zraft-peers")
    assert monitor["selector"]["matchLabels"].items() <= peers["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["endpoints"]} <= {port["name"] for port in peers["spec"]["ports"]}


def test_panels_are_apart_and_explained() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(references) == len(set(references)), panel["title"]


def test_compose_provides_prometheus_and_grafana_with_what_there_is() -> None:
    for service in ("prometheus", "grafana"):
        files = [volume.split(":")[0] for volume in compose()["services"][service]["volumes"]]
        for file in files:
            assert not file.startswith(".") or (COMPOSE / file).resolve().is_file(), file
    (source,) = documents(COMPOSE / "grafana" / "datasource.yaml")
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def promtool(*arguments: object) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not here (Debian: it comes with prometheus)")
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_agrees_with_the_rules() -> None:
    promtool("test", "rules", ROOT / "tests" / "deploy" / "alerts_test.yaml")


def test_promtool_agrees_with_both_configurations(tmp_path: Path) -> None:
    config = of_kind(documents(DEPLOY / "prometheus.yaml"), "ConfigMap", "prometheus")["data"]
    for name, content in (("kubernetes", config["prometheus.yml"]), ("compose", text(COMPOSE / "prometheus.yaml"))):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "prometheus.yml").write_text(content)
        (directory / "alerts.yaml").write_text(config["alerts.yaml"])
        promtool("check", "config", directory / "prometheus.yml")
