"""Rounds whose logs are kept short: by default a log is cut from 64 MiB on, which no round of a minute ever writes.

So in a part of the rounds snapshots are made all the time, history is compacted (or the state, and with it the log,
would grow), and a node that is away for long enough is sent a snapshot.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster.running import WAIT_S, equal_and_led
from tests.cluster.test_installing import INSTALLED
from tests.cluster.test_snapshots import MADE
from tests.waiting import wait_until
from zraft.cluster import LocalCluster

SHARE = 0.5
LOG_MIB = 1
RETAINED = 1_000
OPTIONS: dict[str, Any] = {"snapshot_log_mib": LOG_MIB, "burst_mib": 0, "retain_revisions": RETAINED}
VALUE_BYTES = 500
"""With values so long, a MiB of log is written in some seconds."""
BATCH_REVISIONS = RETAINED // 10
"""So many revisions gather before they are compacted (``core.retention``)."""
STILL_S = 2.0
EVENTS = {"made": MADE, "installed": INSTALLED}
"""What nodes log of snapshots."""


def are_drawn(seed: int, number: int) -> bool:
    """Whether a campaign's round is such a one; other draws of the seed are what they were without this one."""
    return random.Random(f"short logs {seed}/{number}").random() < SHARE


def are_in(cluster: LocalCluster) -> bool:
    """Whether its nodes keep their logs so short."""
    return all(cluster.settings(name).snapshot_log_mib == LOG_MIB for name in cluster.names)


def settle(cluster: LocalCluster) -> None:
    """Waits until all nodes have applied the same, and nothing is left to be compacted.

    Each step of that is an entry of the log. Nodes that are stopped in between differ, and nothing is wrong with them.
    """
    applied, since = -1, 0.0

    def is_still() -> bool:
        nonlocal applied, since
        answers = [answer for answer in cluster.status().values() if answer]
        now, newest = time.monotonic(), max((answer.last_applied for answer in answers), default=-1)
        if newest != applied:
            applied, since = newest, now
        excess = [answer.revision - answer.compacted_revision - RETAINED for answer in answers]
        return now - since >= STILL_S and all(revisions < BATCH_REVISIONS for revisions in excess)

    wait_until(is_still, WAIT_S, "the end of compaction")
    equal_and_led(cluster)


def count_snapshots(logs: Iterable[Path]) -> Counter[str]:
    """How many snapshots nodes made, and how many they were sent and installed, by what they logged."""
    counts: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))
    for path in logs:
        text = path.read_text(errors="replace")
        counts.update({what: text.count(event) for what, event in EVENTS.items()})
    return counts
