"""What all tests share: the order in which they run, and hypothesis's settings."""

import hypothesis
import pytest

# A mistake in the core fails in seconds, before the first real cluster is started.
COSTS = ("simulation", "cluster", "chaos")

# Time-outs are pytest-timeout's: an example that is slow on a busy machine is not a failure.
hypothesis.settings.register_profile("zraft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("zraft")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cheap tests first, each kind in the order in which it was found."""
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    return max((rank for rank, mark in enumerate(COSTS, start=1) if item.get_closest_marker(mark)), default=0)
