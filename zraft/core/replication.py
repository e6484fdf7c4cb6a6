"""Replication: the proposer. Gives each proposal its index, feeds every storage, and finds out what is committed.

It works for one term at a time, between election's ``Lead`` and ``Stop``, and owns nothing durable: what it tells
others it has from the storages' answers. The own storage is one of them, the nearest one; its copy counts when it has
answered, not before (S6).

The caller steps what has come, then calls ``flush`` once: so all that waits for one peer leaves in one Append.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zraft.config import Settings
from zraft.core.audit import Divergence
from zraft.core.effects import Ignored, Send, ToStorage
from zraft.core.leadership import Leadership
from zraft.core.membership import promoted, with_addresses
from zraft.core.progress import Forgot, Mode, Progress
from zraft.core.seen import Seen
from zraft.core.streaming import SendChunk, SnapshotStream
from zraft.core.versions import PROPOSED_KINDS, SUPPORTED, TOO_NEW, LeftBehind
from zraft.errors import InvalidArgument, NotLeader, ResourceExhausted, Unavailable, ZraftError
from zraft.protocol.codec import decode_request
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, Member, Origin
from zraft.protocol.local import (
    CommitGroup,
    Counted,
    Deposed,
    HandOver,
    Keep,
    Lead,
    Members,
    Ping,
    Pong,
    Propose,
    Read,
    ReadAnswer,
    Ready,
    Removed,
    Resume,
    Stop,
)
from zraft.protocol.peer import Append, AppendAnswer, Commit, Diverged, InstallAnswer, NotProposed
from zraft.protocol.requests import ChangeMember

APPEND_BYTES_MAX = 1 << 20
"""An Append stops growing here; one entry may be larger."""
TAIL_BYTES_MAX = 64 << 20
UNCOMMITTED_BYTES_MAX = 256 << 20
RETRANSMIT_SECONDS = 0.2
SILENT_SECONDS = 0.5
"""A storage that lacks something is asked every 0.2 s: after this it can be counted on for nothing, for now."""
COMMIT_SECONDS = 0.005
"""So long may the news of a commit wait for an Append that takes it along. It does not wait where a client waits for
it: at the own storage, and at the node whose gateway made the proposal."""
_DEFAULT = Settings()


class PublishCommit(msgspec.Struct, frozen=True):
    """Publish this on the page, before anything behind it in the list is sent (S10)."""

    group: CommitGroup


class ToElection(msgspec.Struct, frozen=True):
    """Send ``message`` to the election actor of this node."""

    message: Deposed | Ready | Members | Removed


class Refuse(msgspec.Struct, frozen=True):
    """Tell whoever made the proposal that it was certainly not appended."""

    message: NotProposed


Message = Lead | Stop | HandOver | Resume | Counted | Propose | AppendAnswer | InstallAnswer | ReadAnswer
Effect = (
    Send[Append | Commit | Diverged]
    | SendChunk
    | ToStorage[Append | Commit | Read | Keep | Diverged]
    | PublishCommit
    | ToElection
    | Refuse
    | Divergence
    | LeftBehind
    | Forgot
    | Ignored
)


class Replication:
    """The replication core of one member; ``now`` is in seconds.

    Args:
        me: the member's id.
        window: how many Appends, and how many bytes, may be under way to one storage.
        rate: bytes a second of a snapshot to one storage.
        addresses: ``host:port`` of the first members' peer ports by name, for the configurations to come.
        supported: the newest cluster version that this code knows.
        seen: the proposals that came before; none if it is not given.
    """

    def __init__(
        self,
        me: int,
        window: tuple[int, int] = (_DEFAULT.window_entries, _DEFAULT.window_bytes),
        rate: int = _DEFAULT.snapshot_rate_mib << 20,
        addresses: Mapping[str, str] | None = None,
        supported: int = SUPPORTED,
        seen: Seen | None = None,
    ) -> None:
        self.me = me
        self._window = window
        self._rate = rate
        self._addresses = addresses or {}
        self._supported = supported
        self._lead: Leadership | None = None
        self._stopped = 0
        self.seen = Seen() if seen is None else seen
        self._next_check = 0.0

    @property
    def term(self) -> int:
        """The term that is led; 0 when none is."""
        return self._lead.term if self._lead else 0

    @property
    def commit(self) -> int:
        """The commit index found in the term that is led."""
        return self._lead.commit if self._lead else 0

    def pong(self, message: Ping, now: float) -> Pong:
        """How replication gets on: it is stuck while something waits for a majority, and no majority answers at all.

        Who answers that it has no room would tell the next leader the same. Heartbeats don't tell of lost Appends.
        """
        waits = self._lead if self._lead and self._lead.commit < self._lead.tail.last else None
        pending = waits is not None and not waits.quorum.reached(waits.healthy(now, SILENT_SECONDS))
        return Pong(message.number, self.commit, pending, self.term)

    def next_deadline(self) -> float | None:
        """When ``tick`` must be called next; None while nothing is led."""
        return min(self._next_check, self._lead.next_deadline()) if self._lead else None

    def streamed(self) -> set[int]:
        """The indexes of the snapshots that are on their way to anybody."""
        return {stream.snapshot.index for stream in self._lead.streams()} if self._lead else set()

    @property
    def in_flight(self) -> int:
        """Appends on their way to the storage that has most of them."""
        return max([progress.in_flight for progress in self._lead.progress.values()]) if self._lead else 0

    def step(self, message: Message, now: float, sender: int) -> list[Effect]:
        """One message; ``sender`` is the member whose storage answered."""
        match message:
            case Propose():
                return self.on_propose(message, now)
            case AppendAnswer() | InstallAnswer():
                return self.on_answer(message, sender, now)
            case ReadAnswer():
                return self.on_read_answer(message, now)
            case Lead():
                return self.on_lead(message, now)
            case Stop():
                return self.on_stop(message)
            case HandOver() | Resume():
                return self.on_hand_over(message)
            case Counted():
                return self.on_counted(message)

    def on_lead(self, message: Lead, now: float) -> list[Effect]:
        """The ballot is won: append an empty entry of the term at once ([R] section 8, S5)."""
        if message.term <= max(self._stopped, self.term):
            return [Ignored(f"lead term {message.term}, but {max(self._stopped, self.term)} came before")]
        self._lead = Leadership(self.me, message, self._window, self._supported)
        self._next_check = now + RETRANSMIT_SECONDS / 4
        self._lead.append(EntryKind.EMPTY)
        return []

    def on_stop(self, message: Stop) -> list[Effect]:
        """Lead no more. What was proposed may still be committed by the next leader: nothing is said of it."""
        self._stopped = max(self._stopped, message.term)
        if self._lead is None or self._lead.term > message.term:
            return [Ignored(f"stop term {message.term}, which is not led")]
        self._lead = None
        return []

    def on_hand_over(self, message: HandOver | Resume) -> list[Effect]:
        """Take no proposals until the leadership is handed over ([D] 3.10), or nobody took it.

        So the last index stands still, and a member that has all up to it stays worthy of every vote (trap 10).
        """
        if self._lead is None or self._lead.term != message.term:
            return [Ignored(f"a hand-over of term {message.term}, which is not led")]
        self._lead.hand_over = message if isinstance(message, HandOver) else None
        self._lead.ready_told = False
        return []

    def on_counted(self, message: Counted) -> list[Effect]:
        """Election's rounds and leases count a configuration of ours (S14)."""
        if self._lead is None or self._lead.term != message.term:
            return [Ignored(f"rounds of term {message.term}, which is not led")]
        self._lead.membership.counted(message.index)
        return []

    def on_propose(self, message: Propose, now: float) -> list[Effect]:
        """Append a batch of commands, or a change of members, in the term that it names and at most once (S9)."""
        lead = self._lead
        if self.seen.is_copy(message.term, message.origin):
            origin = message.origin
            return [Ignored(f"proposal {origin.number} of gateway {origin.nonce:016x} was seen in term {message.term}")]
        if lead is None or lead.term != message.term:
            led = f"leads term {lead.term}" if lead else "does not lead"
            return [_refuse(message.origin, NotLeader.code, f"not proposed in term {message.term}: this node {led}")]
        if message.kind not in PROPOSED_KINDS:
            return [_refuse(message.origin, Unavailable.code, TOO_NEW)]
        if lead.hand_over is not None:
            return [_refuse(message.origin, NotLeader.code, "not proposed: the leadership is being handed over")]
        if lead.uncommitted_bytes >= UNCOMMITTED_BYTES_MAX:
            return [_refuse(message.origin, ResourceExhausted.code, "too much waits for commitment; try again later")]
        if message.kind == EntryKind.CONFIGURATION:
            return self._on_change(lead, message, now)
        lead.append(EntryKind.COMMANDS, message.origin, message.payload)
        return []

    def _on_change(self, lead: Leadership, message: Propose, now: float) -> list[Effect]:
        try:
            change = decode_request(message.payload)
            if not isinstance(change, ChangeMember):
                raise InvalidArgument("this is no change of members")
            members = lead.membership.change(change, lead.commit, lead.healthy(now), lead.ready(now))
        except ZraftError as error:
            return [_refuse(message.origin, error.code, error.message)]
        return [self._configure(lead, members, now, message.origin)]

    def _configure(
        self, lead: Leadership, members: tuple[Member, ...], now: float, origin: Origin = NO_ORIGIN
    ) -> ToElection:
        configuration = lead.configure(with_addresses(members, self._addresses), now, origin)
        return ToElection(Members(lead.term, configuration))

    def on_answer(self, message: AppendAnswer | InstallAnswer, member: int, now: float) -> list[Effect]:
        """A storage answered an Append, or told how far it is with the snapshot that is on its way to it.

        Only answers of our term say anything of our log (traps 14, 18).
        """
        lead = self._lead
        progress = lead.progress.get(member) if lead else None
        if lead is None or progress is None:
            return [Ignored(f"answer of {member:016x}, whose storage is not fed")]
        progress.heard = now
        if message.term > lead.term:
            return [ToElection(Deposed(message.term))]
        if message.term < lead.term:
            return [Ignored(f"answer of term {message.term}")]
        if isinstance(message, InstallAnswer):
            ignored = progress.snapshot_answered(message, now)
            return [ignored] if ignored else []
        said = progress.answered(message, lead.tail.last, now)
        lead.hear_version(member, message)
        divergence = lead.audit.heard(member, message.checkpoint, lead.quorum)
        verdict = lead.audit.verdict(member)
        told = verdict and self._to(member, Diverged(lead.term, verdict.index, verdict.digest, verdict.majority))
        return [effect for effect in (said, divergence, told) if effect]

    def on_damaged(self, member: int, checksum: bytes) -> None:
        """The shell can't read the snapshot that is on its way to ``member``, or found it damaged (trap 30)."""
        progress = self._lead.progress.get(member) if self._lead else None
        if progress is not None:
            progress.snapshot_damaged(checksum)

    def on_read_answer(self, message: ReadAnswer, now: float) -> list[Effect]:
        """Entries for a peer that lags behind the tail came from the own storage."""
        lead = self._lead
        progress = lead.progress.get(message.peer) if lead else None
        if lead is None or progress is None or not progress.reading:
            return [Ignored("entries that nobody waits for")]
        if message.term > lead.term:
            return [ToElection(Deposed(message.term))]
        if message.term == lead.term and not message.entries:
            return self._on_cut(lead, message, progress, now)
        progress.reading = False
        if message.term < lead.term or message.previous.index != progress.next - 1:
            return [Ignored(f"entries behind {message.previous}, but {progress.next} is next")]
        return self._append_to(lead, progress, message.previous, message.entries, now)

    def tick(self, now: float) -> list[Effect]:
        """Retransmission: whoever lacks an entry or the commit index and is silent is asked again (trap 19)."""
        lead = self._lead
        if lead is None or now < self._next_check:
            return []
        self._next_check = now + RETRANSMIT_SECONDS / 4
        for progress in lead.progress.values():
            if progress.overdue(lead.tail.last, lead.commit, now, RETRANSMIT_SECONDS):
                progress.retry(now, lead.tail.holds(progress.next))
        lead.let_go(now)
        if lead.hand_over is not None:
            return []  # the last index stands still
        lead.raise_version(now)
        learner = lead.membership.promotable(lead.ready(now), lead.healthy(now), lead.commit, now)
        return [self._configure(lead, promoted(lead.membership.configuration, learner), now)] if learner else []

    def flush(self, now: float) -> list[Effect]:
        """All that follows from the steps before: commit first, then what each storage lacks."""
        lead = self._lead
        if lead is None:
            return []
        effects = self._advance_commit(lead, now) if lead.commit < lead.tail.last else []
        for progress in lead.progress.values():
            if not progress.has_all(lead.tail.last, lead.commit):
                effects += self._feed(lead, progress, now)
                if progress.stream is not None:
                    effects += progress.stream.send(lead.term, now)
                    effects += [ToStorage(keep)] if (keep := lead.keeps(now)) else []
        if lead.hand_over is not None and (ready := lead.takes_over()):
            effects.append(ToElection(ready))
        lead.trim(TAIL_BYTES_MAX)
        return effects

    def _on_cut(self, lead: Leadership, message: ReadAnswer, progress: Progress, now: float) -> list[Effect]:
        """What a peer lacks was cut ([R] section 7): a snapshot takes its place; without one the timer asks again."""
        progress.reading, progress.cut_off = False, True
        snapshot = message.snapshot
        if snapshot is None:
            return [Ignored("the entries are cut, and there is no snapshot yet")]
        left_behind = lead.versions.fault_of_snapshot(progress.member)
        if left_behind or progress.is_away(now):  # asked, it tells that its code is another one, or that it is back
            return [*([left_behind] if left_behind else []), *self._append_to(lead, progress, lead.tail.base, (), now)]
        progress.cut_off = False
        if progress.stream is not None or snapshot.index < progress.next:
            return [Ignored(f"a snapshot of {snapshot.index}, but {progress.next} is next")]
        progress.send_snapshot(SnapshotStream(progress.member, snapshot, self._rate), now)
        return []

    def _advance_commit(self, lead: Leadership, now: float) -> list[Effect]:
        """The commit rule ([R] 5.3, 5.4.2).

        "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term ==
        currentTerm: set commitIndex = N" (S5, trap 12). A storage that has not answered counts as 0 (S6, trap 20).
        """
        reached = lead.quorum.reached_by({member: p.match for member, p in lead.progress.items()}, 0)
        if reached <= lead.commit or reached <= lead.before:
            return []
        waiting = {self.me}
        for index in range(max(lead.commit, lead.before) + 1, reached + 1):
            size, proposer = lead.uncommitted.pop(index)
            lead.uncommitted_bytes -= size
            waiting.add(proposer)
        lead.commit = reached
        for member, progress in lead.progress.items():
            progress.tell_by(now if member in waiting else now + COMMIT_SECONDS)
        left = [ToElection(Removed(lead.term))] if lead.is_left() else []
        return [PublishCommit(CommitGroup(lead.term, reached)), *left]

    def _feed(self, lead: Leadership, progress: Progress, now: float) -> list[Effect]:
        """Appends as far as the window allows, else the bare commit index if it is news, and due."""
        effects: list[Effect] = []
        probe = progress.mode is Mode.PROBE
        while lead.may_feed(progress):
            if not lead.tail.holds(progress.next):
                effects += self._read_for(lead, progress)
                break
            # A probe carries no entries: it is asked in the dark, and may be asked often.
            entries = () if probe else lead.tail.slice(progress.next, APPEND_BYTES_MAX)
            effects += self._append_to(lead, progress, lead.tail.before(progress.next), entries, now)
        if progress.asking and not effects and lead.tail.holds(progress.next):
            effects += self._append_to(lead, progress, lead.tail.before(progress.next), (), now)
        progress.asking = False
        if now >= progress.commit_deadline(lead.commit):
            progress.told(lead.commit)
            effects.append(self._to(progress.member, Commit(lead.term, lead.commit)))
        return effects

    def _read_for(self, lead: Leadership, progress: Progress) -> list[Effect]:
        if progress.reading or progress.cut_off:
            return []
        progress.reading = True
        size = APPEND_BYTES_MAX if progress.mode is Mode.REPLICATE else 0  # one entry goes with a probe
        return [ToStorage(Read(lead.term, progress.member, progress.next, size, progress.damaged))]

    def _append_to(
        self, lead: Leadership, progress: Progress, previous: EntryId, entries: tuple[bytes, ...], now: float
    ) -> list[Effect]:
        entries, left_behind = lead.versions.known_to(progress.member, entries)
        progress.sent(previous.index + len(entries), sum(map(len, entries)), lead.commit, now)
        append = self._to(progress.member, Append(lead.term, previous, entries, lead.commit))
        return [append, left_behind] if left_behind else [append]

    def _to(self, member: int, message: Append | Commit | Diverged) -> Effect:
        return ToStorage(message) if member == self.me else Send(member, message)


def _refuse(origin: Origin, code: str, message: str) -> Refuse:
    return Refuse(NotProposed(origin, code, message))
