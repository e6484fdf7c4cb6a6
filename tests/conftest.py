"""What all tests share: the order in which they run, which are left out, and hypothesis's settings."""

import hypothesis
import pytest

# A mistake in the core fails in seconds, before the first real cluster is started.
COSTS = ("simulation", "cluster", "chaos")

# Time-outs are pytest-timeout's: an example that is slow on a busy machine is not a failure.
hypothesis.settings.register_profile("zraft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("zraft")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is too long for every run is asked for."""
    parser.addoption("--long", action="store_true", help="also run the tests that are marked as long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the cheap tests first, each kind in the order in which it was found; and the long ones if they are wanted."""
    items.sort(key=_cost)
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def _cost(item: pytest.Item) -> int:
    return max((rank for rank, mark in enumerate(COSTS, start=1) if item.get_closest_marker(mark)), default=0)
