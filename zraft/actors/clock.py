"""The clock of the actors."""

from __future__ import annotations

import time
from functools import partial

clock = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Seconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, and no wall clock can set it back."""
