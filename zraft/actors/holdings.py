"""What the stores of a node hold, as storage publishes it: for ``zraft status``, ``/status`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from zraft.actors import metrics
from zraft.actors.clock import clock as boottime
from zraft.protocol.local import Holdings
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

TAKE_SECONDS = 0.25


class Inventory:
    """Takes stock now and then, not at every turn of the actor.

    Attributes:
        state: the applied state in use; set anew when another generation takes its place.

    Args:
        log: the log in use.
        state: as above.
        snapshot: tells the last log index of the newest snapshot and the bytes of those that are kept; zeros for none.
        installing: tells bytes held and bytes in all of the snapshot that is received; zeros when none is.
        clock: seconds.
    """

    def __init__(
        self,
        log: LmdbLog,
        state: LmdbState,
        snapshot: Callable[[], tuple[int, int]],
        installing: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.state = state
        self._log = log
        self._snapshot = snapshot
        self._installing = installing
        self._clock = clock
        self._next = 0.0
        self._taken = Holdings()

    def taken(self) -> Holdings:
        """What there was a moment ago."""
        now = self._clock()
        if now >= self._next:
            self._next = now + TAKE_SECONDS
            index, snapshots_bytes = self._snapshot()
            log_bytes, state_bytes = self._log.size_bytes, self.state.size_bytes
            self._taken = Holdings(index, log_bytes, state_bytes, snapshots_bytes, *self._installing())
            _measure(self._taken)
        return self._taken


def _measure(holdings: Holdings) -> None:
    metrics.snapshot_index.set(holdings.snapshot)
    metrics.log_bytes.set(holdings.log_bytes)
    metrics.state_bytes.set(holdings.state_bytes)
    metrics.snapshots_bytes.set(holdings.snapshots_bytes)
    metrics.installing_held_bytes.set(holdings.installing_held_bytes)
    metrics.installing_bytes.set(holdings.installing_bytes)
