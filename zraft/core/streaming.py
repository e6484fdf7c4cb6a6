"""Sending one snapshot to one storage: which piece leaves when.

Nothing is kept about it but two offsets. The receiver takes a piece only at exactly the offset that it has come to,
and tells that offset whenever it is sent anything; so pieces that are lost, doubled or reordered do no harm, and a
stream that was interrupted, on either side, goes on where the receiver says.
"""

from __future__ import annotations

import math

import msgspec

from zraft.protocol.peer import InstallAnswer, SnapshotId

CHUNK_BYTES = 256 << 10
WINDOW_CHUNKS = 4
"""So many pieces may be under way: what one stream costs the receiver in memory, and a vote that waits behind it."""


class SendChunk(msgspec.Struct, frozen=True):
    """Send ``size`` bytes of ``snapshot`` from ``offset`` on to member ``to``, in ``term``; 0: ask how much it has."""

    to: int
    term: int
    snapshot: SnapshotId
    offset: int
    size: int


class SnapshotStream:
    """One snapshot on its way to one member; ``now`` is in seconds. Invariant: held <= next <= held + the window.

    ``rate``: bytes a second, so that a stream leaves room for the cluster's traffic.
    """

    def __init__(self, member: int, snapshot: SnapshotId, rate: int) -> None:
        self.snapshot = snapshot
        self.held = 0
        """Bytes that the receiver is known to have."""
        self._member = member
        self._rate = rate
        self._next = 0
        self._repeated = 0  # answers that told ``held`` once more
        self._waiting = False  # asked how much is held, and not told yet
        self._ask_due = True
        self._free_at = 0.0  # by the rate, no piece leaves before

    def send(self, term: int, now: float) -> list[SendChunk]:
        """What may leave now."""
        if self._ask_due:
            self._ask_due, self._waiting = False, True
            return [SendChunk(self._member, term, self.snapshot, 0, 0)]
        sends: list[SendChunk] = []
        while self._has_more() and now >= self._free_at:
            size = min(CHUNK_BYTES, self.snapshot.size - self._next)
            sends.append(SendChunk(self._member, term, self.snapshot, self._next, size))
            self._next += size
            self._free_at = max(self._free_at, now) + size / self._rate
        return sends

    def deadline(self) -> float:
        """When ``send`` has something to send again without any answer; infinite: an answer must come first."""
        return self._free_at if self._has_more() else math.inf

    def answered(self, answer: InstallAnswer) -> None:
        """The receiver told how much it has. Less than it once had is believed only when it was asked."""
        offset = min(answer.offset, self.snapshot.size)
        if self._waiting:
            self._waiting, self.held, self._next, self._repeated = False, offset, offset, 0
        elif offset > self.held:
            self.held, self._next, self._repeated = offset, max(self._next, offset), 0
        elif offset == self.held:
            self._repeated += 1
            if self._repeated == WINDOW_CHUNKS - 1:  # all that followed the piece at ``held`` has come, and it has not
                self._next = offset

    def ask(self) -> None:
        """It has been silent for too long: pieces were lost, or it has lost them. Ask, then go on from there."""
        self._ask_due = True

    def _has_more(self) -> bool:
        window = self.held + WINDOW_CHUNKS * CHUNK_BYTES
        return not self._waiting and self._next < min(self.snapshot.size, window)
