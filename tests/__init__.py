"""The tests. A package, so that `tests.waiting` is ours whatever else is installed."""
