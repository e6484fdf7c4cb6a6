"""The cluster of a module, healed between its tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.load import Load
from tests.cluster.running import pytest_runtest_makereport as pytest_runtest_makereport, running
from zraft import Client
from zraft.cluster import LocalCluster


@pytest.fixture(scope="module")
def shared_cluster(module_path: Path) -> Iterator[LocalCluster]:
    with running(module_path) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: LocalCluster) -> LocalCluster:
    """Three nodes that run, with a leader that is ready to write."""
    for name in shared_cluster.names:
        if shared_cluster.condition(name) == "dead":
            shared_cluster.restart(name)
        else:
            shared_cluster.resume(name)
    shared_cluster.wait_until_ready()
    return shared_cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster.endpoints(), timeout=10) as client:
        yield client


@pytest.fixture
def load(cluster: LocalCluster, request: pytest.FixtureRequest) -> Load:
    """A load that is not running yet, with keys of its own."""
    return Load(cluster.endpoints(), request.node.name)
