"""Ports for tests: below those that the kernel gives to clients, and of each worker of a run its own."""

import os
import random
import socket

PORTS_FROM, PORTS_TO = 12_000, 30_000
ROW = 100
"""So many in a row belong to one worker."""
IN_A_ROW = 3
"""A node binds its peer port, and the two behind it."""


def rows() -> range:
    """The first port of each row of this worker: what another one is about to bind is still free to see."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return range(PORTS_FROM + ROW * worker, PORTS_TO, ROW * workers)


def free_port() -> int:
    """A port that nobody uses now, nor the two behind it."""
    while True:
        first = random.choice(rows()) + random.randrange(ROW - IN_A_ROW)
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
