"""A local cluster that is there for one measurement, and gone after it with all of its data."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zraft.cluster import LocalCluster, Ports

DIRECTORY = Path("/var/tmp")
"""A disk: what is below /tmp may be memory, where an fsync costs nothing."""


@contextlib.contextmanager
def fresh_cluster(name: str, ports: Ports, nodes: int = 3, **options: Any) -> Iterator[LocalCluster]:
    """Empty nodes, which serve while the context lasts.

    Args:
        name: whose cluster it is.
        ports: where its ports begin; each tool has others, so that two may run side by side.
        nodes: how many.
        options: settings of all nodes.
    """
    with tempfile.TemporaryDirectory(prefix=f"zraft-{name}-", dir=DIRECTORY) as directory:
        cluster = LocalCluster(Path(directory), nodes, ports=ports, options=options)
        cluster.up()
        try:
            yield cluster
        finally:
            cluster.down()
