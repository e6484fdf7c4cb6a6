"""Whether every panel of the Grafana dashboard shows something: ``make dashboard-check``.

A real Prometheus scrapes a real cluster of three nodes under load, whose leader is killed and comes back. Then each
query of each panel must return numbers, with the labels that its legend names, and each alert rule must evaluate.
``--picture FILE.svg`` draws what they returned, to be looked at.

Needs prometheus on the path (Debian: ``apt-get install prometheus``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tools.dashboard_picture import Series, picture
from tools.fresh_cluster import fresh_cluster
from zraft.bench import Load, measure
from zraft.cluster import LocalCluster, Ports

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "alerts.yaml"
PORTS = Ports(client=28_380, http=29_390, peer=27_380)
VARIABLES = {"$job": "zraft", "$__rate_interval": "15s", "$__interval": "15s"}
"""What Grafana puts in for its variables."""
STEP_S = 2
LOAD_S = 15.0
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: zraft
    static_configs: [{targets}]
"""


class Query(NamedTuple):
    """One query of a panel, or of an annotation, and the labels that its legend shows."""

    panel: str
    expression: str
    labels: frozenset[str]


def queries(dashboard: dict[str, Any]) -> list[Query]:
    """All queries of a dashboard, with values for its variables."""
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            found.append(_query(panel["title"], target["expr"], target["legendFormat"]))
    for one in dashboard["annotations"]["list"]:
        found.append(_query(f"annotation {one['name']}", one["expr"], one["titleFormat"]))
    return found


def _query(panel: str, expression: str, legend: str) -> Query:
    return Query(panel, _filled(expression), frozenset(re.findall(r"{{(\w+)}}", legend)))


def _filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


class Prometheus:
    """A Prometheus that was started here.

    Args:
        port: of its HTTP.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: object) -> Any:
        """The data of an answer of its API; raises OSError while there is none."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        """Whether it has seen all nodes."""
        try:
            found = self.ask("query", query="count(up == 1)")["result"]
        except OSError:
            return False
        return bool(found) and found[0]["value"][1] == "3"


@contextlib.contextmanager
def prometheus(cluster: LocalCluster) -> Iterator[Prometheus]:
    """A Prometheus, its data beside the nodes', that scrapes the cluster each second, and evaluates the alert rules."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    targets = ", ".join(
        f"{{targets: ['127.0.0.1:{cluster.settings(name).http_port}'], labels: {{instance: {name}}}}}"
        for name in cluster.names
    )
    config = cluster.directory / "prometheus.yaml"
    config.write_text(CONFIG.format(alerts=ALERTS, targets=targets), encoding="utf-8")
    options = [f"--config.file={config}", f"--storage.tsdb.path={cluster.directory / 'tsdb'}"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield Prometheus(port)
        finally:
            process.terminate()


def wait_for(what: str, is_done: Any, seconds: float = 30.0) -> None:
    """Asks until it is so; ends the program when it does not become so."""
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)


def stir(cluster: LocalCluster) -> None:
    """Load from before to behind an election: the leader is killed, another one is elected, and it comes back."""
    load = Load(
        endpoints=tuple(cluster.endpoints()), keys=2_000, pipeline=16, read_ratio=0.3, value_size=512, seconds=LOAD_S
    )
    thread = threading.Thread(target=lambda: print(f"{measure(load).operations_per_second:.0f} operations/s"))
    thread.start()
    before = cluster.leader()
    time.sleep(LOAD_S / 3)  # so much history before the election
    cluster.kill(before)
    wait_for("another leader", lambda: cluster.leader() != before)
    print(f"{before} was killed, {cluster.leader()} leads")
    cluster.restart(before)
    thread.join()


def draw(prometheus: Prometheus, span: tuple[float, float]) -> str:
    """The dashboard with what was measured within ``span``, as an SVG file."""

    def series(expression: str) -> list[Series]:
        answer = prometheus.ask("query_range", query=_filled(expression), start=span[0], end=span[1], step=STEP_S)
        return [(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in answer["result"]]

    return picture(json.loads(DASHBOARD.read_text(encoding="utf-8")), series, span)


def numbers(prometheus: Prometheus, query: Query, began: float) -> tuple[list[float], set[str]]:
    """All finite values of a query since ``began``, and the labels that all of its series have."""
    answer = prometheus.ask("query_range", query=query.expression, start=began, end=time.time(), step=STEP_S)
    values = [float(value) for series in answer["result"] for _, value in series["values"]]
    labels = [set(series["metric"]) for series in answer["result"]]
    return [value for value in values if math.isfinite(value)], set.intersection(*labels) if labels else set()


def check(prometheus: Prometheus, began: float) -> list[str]:
    """What is wrong with panels and rules, in words; prints a line a query."""
    wrong = []
    for query in queries(json.loads(DASHBOARD.read_text(encoding="utf-8"))):
        found, labels = numbers(prometheus, query, began)
        if not found:
            wrong.append(f"{query.panel}: no data of {query.expression}")
            continue
        if lacks := query.labels - labels:
            wrong.append(f"{query.panel}: no label {', '.join(sorted(lacks))} in {query.expression}")
        print(f"{query.panel:32} {len(found):6} values from {min(found):<12.6g} to {max(found):<12.6g}")
    for group in prometheus.ask("rules")["groups"]:
        wrong += [f"alert {rule['name']}: {rule['lastError']}" for rule in group["rules"] if rule["health"] != "ok"]
    return wrong


def main() -> None:
    """Starts all of it, checks, and stops it; exit code 1 when something shows nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw what the panels show")
    options = parser.parse_args()
    if not shutil.which("prometheus"):
        sys.exit("prometheus is not on the path: apt-get install prometheus")
    with fresh_cluster("dashboard", PORTS, snapshot_log_mib=1) as cluster, prometheus(cluster) as server:
        wait_for("Prometheus to see all nodes", server.is_ready)
        began = time.time()
        stir(cluster)
        wait_for("Prometheus to see all nodes again", server.is_ready)
        wrong = check(server, began)
        if options.picture:
            options.picture.write_text(draw(server, (began, time.time())), encoding="utf-8")
    count = len(queries(json.loads(DASHBOARD.read_text(encoding="utf-8"))))
    print("\n".join([*wrong, f"queries={count} wrong={len(wrong)}"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
