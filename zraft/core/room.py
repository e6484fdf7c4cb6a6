"""Room on the disk: what is still taken while there is little, and who decides it.

A reserve is kept free (``store.space`` measures it). Below it nothing that grows the state is proposed any more; when
most of it is used up, no write at all is, and a storage takes no entry but those that cost no more than a vote. Nothing
that was acknowledged needs room that is not there: reads, votes and elections go on all the time.
"""

from __future__ import annotations

from msgspec.structs import replace

from zraft.core.durable import Log
from zraft.errors import ResourceExhausted, Unavailable, ZraftError
from zraft.protocol.entries import HEAD_BYTES, entry_term
from zraft.protocol.peer import Append

ENOUGH, RESERVE, EXHAUSTED = 0, 1, 2
LACKS = {
    ENOUGH: "",
    RESERVE: "the space that is kept in reserve is reached: delete keys and compact the history, or make room on the "
    "disk; reads and deletes go on, and all comes back by itself",
    EXHAUSTED: "the space that is kept in reserve is used up: make room on the disk; reads go on, and all comes back "
    "by itself",
}
"""What to do about it, in words."""


def lack_of_room(name: str, level: int, *, leads: bool, growing: bool) -> ZraftError | None:
    """Why node ``name``, with so much room, does not take a write: a leader decides for all, others for themselves."""
    if leads:
        is_refused = level == EXHAUSTED or (growing and level != ENOUGH)
        return ResourceExhausted(LACKS[level]) if is_refused else None
    # Its own storage takes no entry any more, so no result would ever come from it: others may do better.
    return Unavailable(f"{name}: {LACKS[level]}") if level == EXHAUSTED else None


class Room:
    """What one storage takes of the Appends that come.

    Attributes:
        starved: the others have committed entries that there was no room for here. When nobody has room, a leader had
            better stay: reads go on.
    """

    def __init__(self) -> None:
        self.starved = False

    def admit(self, message: Append, exhausted: bool, log: Log) -> Append | None:
        """The part of ``message`` that is taken; None: nothing of it.

        What the log has costs nothing. And a new leader's first entry, without which it could not serve a read, takes
        no more room than a vote: it is taken also where a command travels behind it.
        """
        if not exhausted or not message.entries:
            self.starved = self.starved and not message.entries
            return message
        index = message.previous.index
        taken = 0
        for taken, data in enumerate(message.entries):
            if len(data) > HEAD_BYTES and log.term_at(index + 1 + taken) != entry_term(data):
                break
        else:
            taken += 1
        refused = taken < len(message.entries)
        self.starved = refused and message.commit > max(log.last.index, index + taken)
        if not refused:
            return message
        return replace(message, entries=message.entries[:taken]) if taken else None
