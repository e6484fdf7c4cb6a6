"""Where the time goes: what a load cost each kind of actor, from the metrics of the nodes before and after it."""

from __future__ import annotations

import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from zraft.bench.measure import Figures
from zraft.cluster import LocalCluster

HEAD = ("CPU us/op", "client", "gateway", "replication", "storage, leader", "storage, follower", "others", "ops/sync")
_ACTORS = ("gateway", "replication", "storage")

Sample = tuple[str, str, str]
"""Node, name of the series, actor (or empty)."""


def sample(cluster: LocalCluster) -> Counter[Sample]:
    """The counters of all nodes as they stand."""
    found: Counter[Sample] = Counter()
    for node in cluster.names:
        url = f"http://127.0.0.1:{cluster.settings(node).http_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                found[node, one.name, one.labels.get("actor", "")] += one.value  # type: ignore[assignment]
    return found


def row(load: str, figures: Figures, leader: str, before: Counter[Sample], after: Counter[Sample]) -> tuple[str, ...]:
    """A line for the table with ``HEAD``: microseconds of CPU an operation, user and system.

    "others" are the elections and supervisors of all nodes, and the gateways and replications of the followers.
    ops/sync: operations for each fsync of the leader's log.
    """
    used = {key: value - before[key] for key, value in after.items()}
    operations = max(1, figures.tally.operations)

    def cost(node: str, actor: str) -> float:
        return 1e6 * used.get((node, "process_cpu_seconds_total", actor), 0.0) / operations

    followers = sorted({node for node, _, _ in after} - {leader})
    shown = [cost(leader, actor) for actor in _ACTORS]
    storages = [cost(node, "storage") for node in followers]
    whole = 1e6 * sum(value for (_, name, _), value in used.items() if name == "process_cpu_seconds_total") / operations
    syncs = used.get((leader, "zraft_log_sync_seconds_count", ""), 0.0)
    columns = [
        1e6 * figures.tally.cpu / operations,
        *shown,
        sum(storages) / max(1, len(storages)),
        whole - sum(shown) - sum(storages),
    ]
    return (load, *(f"{column:.1f}" for column in columns), f"{operations / syncs:.0f}" if syncs else "-")
