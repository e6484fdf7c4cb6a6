"""Asking all members of a cluster for what ``zraft top`` shows: their status, a read, and their counters over HTTP."""

from __future__ import annotations

import http.client
import math
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from zraft.cli.health import probe
from zraft.cli.members import Member, members_of
from zraft.cli.top_view import Counters, NodeSample, Sample
from zraft.client.links import Link

HTTP_OFFSET = 1010
"""How far a node's HTTP port is above its client port in all default layouts: 8080 and 9090, 8081 and 9091."""
METRICS_BYTES_MAX = 4 << 20


def take(endpoints: tuple[str, ...] | None, timeout: float, http_offset: int) -> Sample:
    """One sample of all members that are found from ``endpoints``.

    Args:
        endpoints: of clients; None: those of the local cluster.
        timeout: seconds, for each question to each of them.
        http_offset: how far a node's HTTP port is above its client port; a node that does not answer there has no
            counters.

    Raises:
        Failure: nobody answers.
    """
    members = members_of(endpoints, timeout)
    link = Link()
    try:
        with ThreadPoolExecutor(len(members)) as pool:
            nodes = pool.map(lambda member: _ask(link, member, timeout, http_offset), members)
            return Sample(time.time(), tuple(nodes))
    finally:
        link.close()


def _ask(link: Link, member: Member, timeout: float, http_offset: int) -> NodeSample:
    found = probe(link, member, timeout)
    counters = _counters(member.endpoint, timeout, http_offset) if member.status else None
    return NodeSample(member.name, member.status, found.took_ms if found.serves else None, found.reason, counters)


def _counters(endpoint: str, timeout: float, http_offset: int) -> Counters | None:
    host, _, port = endpoint.rpartition(":")
    url = f"http://{host}:{int(port) + http_offset}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return counters_of(answer.read(METRICS_BYTES_MAX).decode())
    except (OSError, http.client.HTTPException, ValueError):
        return None


def counters_of(text: str) -> Counters | None:
    """The counters in what a node's /metrics answers; None when it is not zraft's.

    Raises:
        ValueError: it is nothing that Prometheus could read.
    """
    from prometheus_client.parser import text_string_to_metric_families

    requests: dict[str, float] = {}
    writes: dict[float, float] = {}
    syncs: dict[float, float] = {}
    is_ours = False
    for family in text_string_to_metric_families(text):
        is_ours = is_ours or family.name == "zraft_node_ready"
        for name, labels, value, *_ in family.samples:
            if name == "zraft_request_seconds_count":
                requests[labels["kind"]] = value
            elif name == "zraft_request_seconds_bucket" and labels["kind"] == "write":
                writes[_bound(labels)] = value
            elif name == "zraft_log_sync_seconds_bucket":
                syncs[_bound(labels)] = value
    return Counters(requests.get("write", 0.0), requests.get("read", 0.0), writes, syncs) if is_ours else None


def _bound(labels: dict[str, str]) -> float:
    return math.inf if labels["le"] == "+Inf" else float(labels["le"])
