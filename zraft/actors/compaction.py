"""The gateway's part in keeping history bounded: what ``core.retention`` decides goes the way of a client's write."""

from __future__ import annotations

from zraft.actors.hints import Hints
from zraft.config import Settings
from zraft.core.admission import Caller
from zraft.core.proposals import Proposals, Waiting
from zraft.core.retention import Retention
from zraft.protocol import codec

TICK_SECONDS = 0.010
DEADLINE_SECONDS = 5.0


class Compaction:
    """Proposes compactions while this node leads. Its commands have a caller without a route."""

    def __init__(self, settings: Settings) -> None:
        self._retention = Retention(settings.retain_revisions, settings.retain_seconds, settings.burst_mib << 20)
        self._next = 0.0

    def tick(self, hints: Hints, me: int, proposals: Proposals, now: float) -> None:
        """Look at what the state has come to, and hand in what follows from that."""
        storage = hints.storage()
        if now < self._next or storage is None:
            return
        self._next = now + TICK_SECONDS
        held = storage.holdings.state_bytes
        self._retention.note(storage.revision, storage.compacted, storage.swept, now, held)
        role = hints.role()
        if role is None or role.leader != me:
            return
        for command in self._retention.propose(now, storage.cluster_version, storage.space):
            body = codec.encode(command)
            caller = Caller(b"", b"", len(body), arrived=now)
            proposals.submit(Waiting(caller, body, False, now + DEADLINE_SECONDS))

    def told(self, body: bytes, now: float) -> None:
        """The answer to the command that was handed in."""
        self._retention.answered(codec.response.decode(body), now)
        self._next = now
