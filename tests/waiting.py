"""Waiting for a condition: the only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S_MIN = 0.001
PAUSE_S_MAX = 0.05


def wait_until(condition: Callable[[], T | None], timeout: float, what: str) -> T:
    """Call `condition` until its value is truthy, and return that value.

    Args:
        condition: called at least once, and once more after the time is up. What it raises is not caught.
        timeout: seconds.
        what: what is awaited, to end the sentence "waited 5 s for ...".

    Raises:
        AssertionError: the time is up; it names what was awaited and the last value seen.
    """
    deadline = time.monotonic() + timeout
    pause_s = PAUSE_S_MIN
    while True:
        is_last = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if is_last:
            raise AssertionError(f"waited {timeout:g} s for {what}; the last value seen was {value!r}")
        time.sleep(max(0.0, min(pause_s, deadline - time.monotonic())))
        pause_s = min(pause_s * 2, PAUSE_S_MAX)


def let_pass(seconds: float) -> None:
    """Let time pass, for a fault that lasts. No verdict depends on how long it was."""
    time.sleep(seconds)
