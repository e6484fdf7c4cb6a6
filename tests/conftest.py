"""What all tests share: the order in which they run, which are left out, hypothesis's settings, room on the disk."""

import gc
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# A mistake in the core fails in seconds, before the first real cluster is started.
COSTS = ("simulation", "cluster", "chaos")

# Time-outs are pytest-timeout's: an example that is slow on a busy machine is not a failure.
hypothesis.settings.register_profile("zraft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("zraft")

ROOM_GIB = 4
"""Free space on the disk of the tests: a node keeps up to 1 GiB of it in reserve and refuses writes in there; the nodes
of two tests at once were seen to take 1.1 GiB, and what a failed test leaves for its reader stays."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is too long for every run is asked for."""
    parser.addoption("--long", action="store_true", help="also run the tests that are marked as long")


def pytest_sessionstart() -> None:
    """Better one refusal that says why than a hundred clusters that refuse writes."""
    path = tempfile.gettempdir()
    free = shutil.disk_usage(path).free
    if free < ROOM_GIB << 30:
        raise pytest.UsageError(
            f"the tests need {ROOM_GIB} GiB free at {path}, and {free / (1 << 30):.1f} GiB are: make room there, "
            "or set TMPDIR to a directory of another disk"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the cheap tests first, each kind in the order in which it was found; and the long ones if they are wanted."""
    items.sort(key=_cost)
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_new() -> None:
    """Look for garbage among what this module makes: thousands of tests, and what they import, are a million objects.

    To look through them takes a quarter of a second, and tests that kill something at each line of a module collect
    garbage behind each kill: they take a third of the time so.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def module_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What ``tmp_path`` is to a test, for the fixtures of a module: it goes unless one of the module's tests failed."""
    failed = request.session.testsfailed
    path = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    yield path
    if request.session.testsfailed == failed:
        shutil.rmtree(path)


def _cost(item: pytest.Item) -> int:
    return max((rank for rank, mark in enumerate(COSTS, start=1) if item.get_closest_marker(mark)), default=0)
