"""A cluster whose nodes each have a disk of their own, small and with a power switch; healed between tests."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import power
from tests.chaos.power import PowerCutDisk
from tests.chaos.proxy import ProxiedCluster, Proxies
from tests.cluster.conftest import client as client, cluster as cluster, load as load
from tests.cluster.running import (
    free_ports,
    own_runtime,
    pytest_runtest_makereport as pytest_runtest_makereport,
    running,
)
from zraft.cluster import LocalCluster
from zraft.store.files import make_directory

DISK_MIB = 64

Disks = dict[str, PowerCutDisk]


@pytest.fixture
def disk() -> Iterator[PowerCutDisk]:
    """One for the stores alone."""
    if reason := power.available():
        pytest.skip(reason)
    with PowerCutDisk(16) as disk:
        yield disk


@pytest.fixture(scope="module")
def disks(request: pytest.FixtureRequest) -> Iterator[Disks]:
    """The disk of each node of the cluster, by the node's name; a module that has a ``DISK_MIB`` gets so large ones."""
    if reason := power.available():
        pytest.skip(reason)
    size = getattr(request.module, "DISK_MIB", DISK_MIB)
    with contextlib.ExitStack() as stack:
        yield {f"node-{number}": stack.enter_context(PowerCutDisk(size)) for number in (1, 2, 3)}


@pytest.fixture(scope="module")
def shared_cluster(module_path: Path, disks: Disks) -> Iterator[LocalCluster]:
    for name, disk in disks.items():
        make_directory(disk.path / name)
        (module_path / name).symlink_to(disk.path / name)
    with running(module_path) as cluster:
        yield cluster


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[ProxiedCluster, Proxies]]:
    """A cluster whose nodes reach each other through proxies only, and those."""
    with own_runtime():
        cluster = ProxiedCluster(tmp_path, free_ports())
        with Proxies(cluster.wires) as proxies:
            cluster.up()
            try:
                yield cluster, proxies
            finally:
                cluster.down()
