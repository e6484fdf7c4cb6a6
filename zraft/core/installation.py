"""Receiving a snapshot: which one is staged, how much of it is held, when it is whole, and what to answer.

The pieces wait in a staging file until all are there and the whole has been checked against the checksum that the
leader named; only then does anything of the node change, in one step (``Acceptor.install``). Until then it votes,
appends and answers as ever, from the log and state that it has. A crash at any point leaves the old state and perhaps
a staging file, from which the stream goes on.
"""

from __future__ import annotations

import google_crc32c
import msgspec

from zraft.core.effects import Answer, Ignored
from zraft.errors import InvariantViolated
from zraft.protocol.peer import DAMAGED, InstallAnswer, InstallSnapshot, SnapshotId


class Stage(msgspec.Struct, frozen=True):
    """Go on with what is staged of ``snapshot``, remove what is staged of any other; tell ``staged`` how much it is."""

    snapshot: SnapshotId


class WriteChunk(msgspec.Struct, frozen=True):
    """Write ``data`` at ``offset`` of the staging file."""

    offset: int
    data: bytes


class Verify(msgspec.Struct, frozen=True):
    """Check the whole file, make it durable, and tell ``verified``; others are not kept waiting for it."""

    snapshot: SnapshotId


class Discard(msgspec.Struct, frozen=True):
    """Remove what is staged of ``snapshot``."""

    snapshot: SnapshotId


class Install(msgspec.Struct, frozen=True):
    """The snapshot is whole, sound and durable: let it take the place of log and state, unless they are ahead of it."""

    snapshot: SnapshotId


Effect = Stage | WriteChunk | Verify | Discard | Install | Answer[InstallAnswer] | Ignored


class Installation:
    """At most one snapshot at a time, on its way in; ``term`` is the storage's, for the answers."""

    def __init__(self) -> None:
        self.snapshot: SnapshotId | None = None
        self.held = 0
        self._verifying = False
        self._resumed = False

    def on_chunk(self, message: InstallSnapshot, term: int) -> list[Effect]:
        """A piece, or the question how much is held, that passed the acceptor's guards (``Acceptor.admit``)."""
        snapshot = message.snapshot
        if snapshot.index < 1 or snapshot.size < 1:
            return [Ignored("an empty snapshot")]  # trap 27
        if snapshot != self.snapshot:
            return self._begin(message)
        if self._verifying or message.offset != self.held or not message.data:
            return [self._answer(term)]
        if self.held + len(message.data) > snapshot.size or google_crc32c.value(message.data) != message.crc:
            return [Ignored(f"the piece of the snapshot at {message.offset} was damaged on its way")]
        self.held += len(message.data)
        return [WriteChunk(message.offset, message.data), self._answer(term), *self._verify_whole()]

    def staged(self, held: int, term: int) -> list[Effect]:
        """So many bytes of the snapshot were there already: from an interrupted stream."""
        if self.snapshot is None:
            raise InvariantViolated("a snapshot is staged", held=held)
        self.held = min(held, self.snapshot.size)
        self._resumed = held > 0
        return [self._answer(term), *self._verify_whole()]

    def verified(self, sound: bool, term: int) -> list[Effect]:
        """All of it has been checked. A damaged one is never installed (trap 30): another one must come."""
        snapshot = self.snapshot
        if snapshot is None or not self._verifying:
            raise InvariantViolated("a snapshot is being verified", sound=sound)
        # What an earlier process left may be less than its size says: that is no fault of the snapshot's.
        reason = "" if self._resumed else DAMAGED
        self._forget()
        if sound:
            return [Install(snapshot)]
        return [Discard(snapshot), Answer(InstallAnswer(term, snapshot, 0, reason=reason))]

    def _begin(self, message: InstallSnapshot) -> list[Effect]:
        """Only a question begins a stream: a delayed piece of a snapshot given up must not push out a newer one."""
        if message.data:
            return [Ignored(f"a piece of the snapshot of {message.snapshot.index}, which is not staged")]
        if self._verifying:
            return [Ignored("another snapshot is being verified")]
        self._forget()
        self.snapshot = message.snapshot
        return [Stage(message.snapshot)]

    def _verify_whole(self) -> list[Effect]:
        if self.snapshot is None or self.held < self.snapshot.size:
            return []
        self._verifying = True
        return [Verify(self.snapshot)]

    def _answer(self, term: int) -> Effect:
        if self.snapshot is None:
            raise InvariantViolated("a snapshot is staged", held=self.held)
        return Answer(InstallAnswer(term, self.snapshot, self.held))

    def _forget(self) -> None:
        self.snapshot, self.held, self._verifying, self._resumed = None, 0, False, False
