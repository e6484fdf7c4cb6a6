"""How much history is kept: the leader's gateway compacts by itself what is too much or too old.

The newest ``revisions`` revisions are kept, and of those only what is younger than ``seconds``: whichever bound comes
first. Each gateway notes which revision its own state had when, so that a new leader's knows it as well; after a
restart the notes begin anew, and history lasts longer for once. The commands in flight are those of one moment, and as
long as the sweep of a compaction is not done, others follow.

To sweep a revision costs about what it costs to write one, on every node. So while writes come fast, it is put off:
history lasts longer, until the state has grown by so much. From there on sweeping goes along with writing, somewhat
faster. When writes come more slowly, what was put off is swept at a moderate pace: readers, and the write that comes
behind a sweep, should hardly notice.
"""

from __future__ import annotations

from collections import deque

from zraft.core.pace import Pace
from zraft.core.room import ENOUGH, EXHAUSTED
from zraft.core.sweep import sweep_records_max
from zraft.protocol.requests import Compact
from zraft.protocol.responses import CompactResult, Response

NOTES_MAX = 60
"""So often within ``seconds`` a revision is noted: history is kept for up to a sixtieth longer than asked for."""
BATCH_REVISIONS = 1_000
"""Beyond the bound so many revisions gather before they are compacted, or a tenth of the bound if that is less."""
LOST_SECONDS = 10.0
"""After this the command in flight counts as lost."""
PAUSE_SECONDS = 1.0
"""Before the next attempt when a command was refused."""
BUSY_REVISIONS = 1_000
"""In a second: from so many on, writes come fast."""
CALM_RECORDS = 5_000
"""In a second: no more are swept where there is no hurry, which is a small part of the time. Where a commit takes long,
several commands leave together."""
CATCH_UP = 2
"""Times as many records as were written meanwhile are swept, where it goes along with writing."""
RECORDS_MAX = 2_000
"""One proposal sweeps no more of them."""


class Retention:
    """Decides what to compact, from what the own state has come to; ``now`` is in seconds.

    Args:
        revisions: how many to keep; 0: there is no such bound.
        seconds: for how long to keep them; 0: there is no such bound.
        burst_bytes: by how much the state may grow while writes come fast before anything is swept.
    """

    def __init__(self, revisions: int, seconds: float, burst_bytes: int = 0) -> None:
        self._revisions = revisions
        self._seconds = seconds
        self._burst = burst_bytes
        self._notes: deque[tuple[float, int]] = deque()
        self._old = 0  # the newest revision that is known to be older than ``seconds``
        self._revision = self._compacted = self._swept = 0
        self._state_bytes = 0
        self._swept_bytes = 0  # what the state held when nothing was left to be swept
        self._pace = Pace()
        self._in_flight = 0
        self._begun_at = self._begun_swept = 0  # the revision when they were proposed, and up to where it was swept
        self._is_calm = True
        self._begun = 0.0  # when they were proposed
        self._took = 0.0  # from when commands were proposed until all were done, the last time
        self._pause_until = 0.0

    def note(self, revision: int, compacted: int, swept: int, now: float, state_bytes: int = 0) -> None:
        """This node's state is so far; what an answer said before counts as well: the page is a moment behind it."""
        self._revision = revision
        self._compacted, self._swept = max(compacted, self._compacted), max(swept, self._swept)
        self._state_bytes = state_bytes
        self._pace.look(revision, now, BUSY_REVISIONS)
        if not self._seconds:
            return
        notes = self._notes
        if not notes or now - notes[-1][0] >= self._seconds / NOTES_MAX:
            notes.append((now, revision))
        while notes and now - notes[0][0] >= self._seconds:
            self._old = notes.popleft()[1]

    def propose(self, now: float, version: int, space: int = ENOUGH) -> list[Compact]:
        """What to propose now, if this node leads; then wait until each of them is ``answered``, or one refused.

        ``version``: of the cluster, whose rules say how much one command sweeps. ``space``: how much room there is
        (``core.room``); where it is short nothing is put off, and where it is used up no write is taken.
        """
        if now < self._pause_until or space == EXHAUSTED:
            return []
        hurry = space != ENOUGH
        target = max(self._compacted, self._old)
        batch = min(BATCH_REVISIONS, self._revisions // 10 or 1)
        if self._revisions and self._revision - self._revisions - target >= batch:
            target = self._revision - self._revisions
        if target <= self._compacted and self._swept >= self._compacted:
            self._swept_bytes = self._state_bytes
            return []
        if self._pace.is_fast and not hurry and self._state_bytes - self._swept_bytes < self._burst:
            return []
        self._is_calm = not (self._pace.is_fast or hurry)
        self._in_flight = self._parts(target - self._swept, sweep_records_max(version), hurry)
        self._begun, self._begun_at, self._begun_swept = now, self._revision, self._swept
        self._pause_until = now + LOST_SECONDS
        return [Compact(target, resume=True)] * self._in_flight

    def answered(self, result: Response, now: float) -> None:
        """A command in flight was applied; or refused, or nobody knows: then it is proposed again after a pause.

        It says itself what it wants to come to, so it may be applied twice.
        """
        if not isinstance(result, CompactResult):
            self._in_flight = 0
            self._pause_until = now + PAUSE_SECONDS
            return
        self._compacted, self._swept = max(result.compacted, self._compacted), max(result.swept, self._swept)
        self._in_flight -= 1
        if not self._in_flight:
            self._took = now - self._begun
            swept = min(self._swept - self._begun_swept, RECORDS_MAX)
            self._pause_until = max(now, self._begun + swept / CALM_RECORDS) if self._is_calm else now

    def _parts(self, left: int, records: int, hurry: bool) -> int:
        """How many commands sweep what there is to sweep now, if one looks at so many ``records``."""
        if self._is_calm:
            due = int(CALM_RECORDS * self._took)
        else:
            due = RECORDS_MAX if hurry else CATCH_UP * (self._revision - self._begun_at)
        return max(1, -(-min(left, due, RECORDS_MAX) // records))
