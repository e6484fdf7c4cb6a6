"""Ports for tests: below those that the kernel gives to clients, and of each worker of a run its own."""

import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator

PORTS_FROM, PORTS_TO = 12_000, 30_000
ROW = 100
"""So many in a row belong to one worker."""
IN_A_ROW = 3
"""A node binds its peer port, and the two behind it."""


def next_row() -> int:
    """The first port of another row than the last ones: what they were given for may not have bound them yet."""
    return next(_rows())


@functools.cache
def _rows() -> Iterator[int]:
    """This worker's rows, round and round from any of them on: what another worker is about to bind looks free too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    rows = list(range(PORTS_FROM + ROW * worker, PORTS_TO, ROW * workers))
    random.shuffle(rows)
    return itertools.cycle(rows)


def free_port() -> int:
    """A port that nobody uses now, nor the two behind it."""
    while True:
        first = next_row() + random.randrange(ROW - IN_A_ROW)
        if all(is_free(port) for port in range(first, first + IN_A_ROW)):
            return first


def is_free(port: int) -> bool:
    """Whether it can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
