"""The sign of life that each actor gives: one more publication on the page, twice a second, for the supervisor.

An actor turns its loop at least once a second, whatever it waits for. One that does not is stuck: stopped by a debugger
or the kernel, in an endless loop, or before a disk that does not answer.
"""

from __future__ import annotations

from zraft.core.vitality import Beats
from zraft.store.page import Group, Page

BEAT_SECONDS = 0.5
SILENT_SECONDS = 5.0
"""A node is not ready while one of its actors has been silent for so long."""
HUNG_SECONDS = 30.0
"""A gateway that has been silent for so long is killed, and started anew: all others may depend on it, if this node
leads, and pages that it was looking at can't be used again. The trio is not: what its peers need of it they see."""

NEVER = 1
"""How often a beat has been published that never was: a new page is cleared once."""

GROUPS = {
    "election": Group.ELECTION_BEAT,
    "replication": Group.REPLICATION_BEAT,
    "storage": Group.STORAGE_BEAT,
    "gateway": Group.GATEWAY_BEAT,
}


class Beat:
    """That of the actor of this name."""

    def __init__(self, page: Page, actor: str) -> None:
        self._page = page
        self._group = GROUPS[actor]
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Called in every turn; ``now`` in seconds."""
        if now >= self._next:
            self._next = now + BEAT_SECONDS
            self._page.clear(self._group)


class Life:
    """Whether the actor of this name still shows signs of life, as another actor sees it."""

    def __init__(self, page: Page, actor: str) -> None:
        self._page = page
        self._group = GROUPS[actor]
        self._beats = Beats()
        self._next = 0.0
        self.is_silent = False
        """For ``SILENT_SECONDS``; not before its first sign."""

    def tick(self, now: float) -> None:
        """Called in every turn; ``now`` in seconds."""
        if now >= self._next:
            self._next = now + BEAT_SECONDS
            sequence = self._page.sequence(self._group)
            silent = self._beats.look({"": sequence}, now)[""]
            self.is_silent = sequence > NEVER and silent >= SILENT_SECONDS
