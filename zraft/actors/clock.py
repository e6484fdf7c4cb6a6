"""The clock of the actors."""

from __future__ import annotations

import time


def clock() -> float:
    """Seconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, and no wall clock can set it back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
