"""What the leader knows of one storage, its own included: the owner of all transitions of that knowledge."""

from __future__ import annotations

import enum
import math
from collections import deque

import msgspec

from zraft.core.effects import Ignored
from zraft.core.streaming import SnapshotStream
from zraft.errors import InvariantViolated
from zraft.protocol.peer import DAMAGED, AppendAnswer, InstallAnswer

READ_SECONDS = 2.0
"""A disk that is slow, or busy, may take so long to read entries. What it reads must not be thrown away, and be asked
for again entry by entry."""
IDLE_SECONDS = 1.0
"""A storage that lacks nothing is asked again after this silence: a restart makes it forget the commit index."""
AWAY_SECONDS = 10.0
"""Whose storage was silent for so long gets no snapshot, for which the leader would have to keep file and log."""
DENIALS = 3
DENIAL_SECONDS = 0.1
"""A storage that denies what it acknowledged is late, or its disk was taken back: after so many denials, each so long
behind the one before, it is the latter."""


class Forgot(msgspec.Struct, frozen=True):
    """``member`` acknowledged all entries up to ``acknowledged``, and now says that it has them only up to ``has``."""

    member: int
    acknowledged: int
    has: int


class Mode(enum.Enum):
    """PROBE: find where the logs meet, one Append at a time. REPLICATE: stream, as far as the window allows.

    SNAPSHOT: what it lacks was cut from the log, and a snapshot is on its way; no Append leaves meanwhile.
    """

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


_LATE = "refusal of an Append behind {}, which is no longer asked"


class Inflights:
    """Appends sent and not answered, bounded in number and bytes."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._sent: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sent)

    def full(self) -> bool:
        """Whether another Append must wait."""
        return len(self._sent) >= self._count_max or self._bytes >= self._bytes_max

    def add(self, last: int, size: int) -> None:
        """An Append that ends at index ``last`` was sent."""
        self._sent.append((last, size))
        self._bytes += size

    def free_to(self, match: int) -> None:
        """Everything up to ``match`` has been answered."""
        while self._sent and self._sent[0][0] <= match:
            self._bytes -= self._sent.popleft()[1]

    def clear(self) -> None:
        """Nothing is expected any more."""
        self._sent.clear()
        self._bytes = 0


class Progress:
    """Invariant: match < next, and match never goes back within the term (trap 14)."""

    def __init__(self, member: int, last: int, window: tuple[int, int]) -> None:
        self.member = member
        self.mode = Mode.PROBE
        self.match = 0
        self.next = last + 1  # "initialized to leader last log index + 1" ([R] figure 2)
        self.commit = 0
        """The commit index that this storage knew when it answered last."""
        self.reading = False
        """Entries for it were asked of the own storage and have not come yet."""
        self.cut_off = False
        """They were cut from the log, and what stands for them is asked for again when the timer says so."""
        self.asking = False
        """It is to be asked whether what was sent has arrived."""
        self.heard = -math.inf
        """When it answered last, in whatever way."""
        self.stream: SnapshotStream | None = None
        """In mode SNAPSHOT, and only then."""
        self.damaged = b""
        """Checksum of a snapshot that can't be sent, or did not arrive as what it should be: another one is needed."""
        self._commit_told = 0
        self._commit_due = math.inf
        self._inflights = Inflights(*window)
        self._probing = False
        self._denials = 0  # in a row
        self._denied_at = -math.inf
        self._doubted = False  # nothing of what was sent has been taken for a while
        self._quiet_since = 0.0

    @property
    def in_flight(self) -> int:
        """Appends that were sent and not answered."""
        return len(self._inflights)

    def may_send(self) -> bool:
        """Whether an Append may leave now."""
        if self.mode is Mode.PROBE:
            return not self._probing
        # To one that takes nothing, as it has no room, the whole window would go again and again.
        full = bool(len(self._inflights)) if self._doubted else self._inflights.full()
        return self.mode is Mode.REPLICATE and not full

    def sent(self, last: int, size: int, commit: int, now: float) -> None:
        """An Append that ends at ``last`` and carries ``commit`` has left."""
        if self.mode is Mode.PROBE:
            self._probing = True
            self._quiet_since = now
        elif last >= self.next:
            if not len(self._inflights):
                self._quiet_since = now
            self._inflights.add(last, size)
            self.next = last + 1  # optimistic: lost messages are noticed by the timer or by a refusal
        self.told(commit)

    def tell_by(self, due: float) -> None:
        """The commit index has grown: tell it by itself at that time, if no Append takes it along before."""
        self._commit_due = min(self._commit_due, due)

    def commit_deadline(self, commit: int) -> float:
        """When ``commit`` is to be told by itself; infinite while there is no need. A probe takes it along anyway."""
        news = self.mode is Mode.REPLICATE and self._commit_told < commit
        return self._commit_due if news else math.inf

    def has_all(self, last: int, commit: int) -> bool:
        """Whether there is nothing at all to send to this storage, not even later: it was sent all, and told all."""
        told = self._commit_told >= commit and not self.asking
        return told and self.next > last and self.mode is Mode.REPLICATE

    def told(self, commit: int) -> None:
        """``commit`` has left."""
        self._commit_told = max(self._commit_told, commit)
        self._commit_due = math.inf

    def answered(self, answer: AppendAnswer, last: int, now: float) -> Ignored | Forgot | None:
        """Take in an answer of the current term; ``last`` is the leader's last index."""
        if answer.success:
            self._accepted(answer, last, now)
            return None
        if not answer.conflict.index:
            return Ignored("refusal of an Append of an older term")
        if self.mode is Mode.SNAPSHOT:
            return Ignored("refusal of an Append, but a snapshot is on its way")
        if answer.probe <= self.match:
            return self._denied(answer, now)
        if self.mode is Mode.PROBE and answer.probe != self.next - 1:
            return Ignored(_LATE.format(answer.probe))
        # One refusal a conflicting term: skip all of it ([R] 5.3).
        self._probe(max(self.match + 1, min(answer.conflict.index, answer.probe)))
        self._quiet_since = now
        return None

    def send_snapshot(self, stream: SnapshotStream, now: float) -> None:
        """Entries that it lacks were cut from the log: stream a snapshot that covers them."""
        self._probe(self.next)
        self.mode, self.stream = Mode.SNAPSHOT, stream
        self._quiet_since = now

    def snapshot_answered(self, answer: InstallAnswer, now: float) -> Ignored | None:
        """Take in an answer of the current term about the snapshot that is on its way."""
        stream = self.stream
        if stream is None or answer.snapshot != stream.snapshot:
            return Ignored(f"answer about the snapshot of {answer.snapshot.index}, which is not on its way")
        if answer.installed:
            self.match = max(self.match, stream.snapshot.index)
            self._probe(self.match + 1)
        elif answer.reason == DAMAGED:
            self.snapshot_damaged(stream.snapshot.checksum)
        else:
            stream.answered(answer)
        self._quiet_since = now
        return None

    def snapshot_damaged(self, checksum: bytes) -> None:
        """Send no more of this snapshot: another one must be asked for."""
        if self.stream is not None and self.stream.snapshot.checksum == checksum:
            self.damaged = checksum
            self._probe(self.match + 1)

    def overdue(self, last: int, commit: int, now: float, patience: float) -> bool:
        """Whether this storage lacks something and has been silent about it for too long, or silent for very long.

        While the own storage reads what it lacks, it is not this one that keeps us waiting.
        """
        done = self.match >= last and self.commit >= commit
        return now - self._quiet_since >= (READ_SECONDS if self.reading else IDLE_SECONDS if done else patience)

    def is_away(self, now: float) -> bool:
        """Whether this storage has answered nothing at all for long."""
        return now - self.heard > AWAY_SECONDS

    def retry(self, now: float, known: bool) -> None:
        """Ask again; ``known``: what precedes ``next`` is at hand.

        A stream is asked whether all of it has arrived: a storage that is only slow must not be sent it once more. A
        snapshot for one that is away is given up; it goes on where it stopped, if it is still the newest by then.
        """
        self._doubted = self._doubted or len(self._inflights) > 0
        if self.stream is not None and not self.is_away(now):
            self.stream.ask()
        elif self.mode is Mode.REPLICATE and known:
            self.asking = True
        else:
            self._probe(self.match + 1 if self.mode is Mode.REPLICATE else self.next)
        self._quiet_since = now
        self.reading = self.cut_off = False

    def _denied(self, answer: AppendAnswer, now: float) -> Ignored | Forgot:
        """It lacks what it acknowledged. Nothing follows from that but a word to people: ``match`` never goes back.

        A probe that was refused so is not repeated at once, but when the timer says so.
        """
        if now - self._denied_at >= DENIAL_SECONDS:
            self._denials += 1
            self._denied_at = now
        if self._denials < DENIALS:
            return Ignored(_LATE.format(answer.probe))
        return Forgot(self.member, self.match, answer.conflict.index - 1)

    def _accepted(self, answer: AppendAnswer, last: int, now: float) -> None:
        if answer.match > last:
            raise InvariantViolated("match <= last", member=self.member, match=answer.match, last=last)
        self._doubted = self._doubted and answer.match <= self.match
        self._denials = 0
        self.match = max(self.match, answer.match)
        self.commit = answer.commit  # may go back: it is not durable there, and a restart forgets it
        self._quiet_since = now
        if self.stream is not None and self.match >= self.stream.snapshot.index:
            self._probe(self.match + 1)  # it has caught up in whatever way, and told so by this answer alone
        if self.mode is Mode.PROBE:
            self.mode = Mode.REPLICATE
            self._probing = False
            self._inflights.clear()
            self.next = self.match + 1
        self._inflights.free_to(self.match)
        self.next = max(self.next, self.match + 1)

    def _probe(self, following: int) -> None:
        self.mode = Mode.PROBE
        self.stream = None
        self._probing = self.asking = self.cut_off = False
        self._inflights.clear()
        self.next = following
