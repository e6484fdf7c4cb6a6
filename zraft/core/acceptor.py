"""The acceptor: what a node's storage may promise and accept. The one place where term, vote and log change.

Rules held here: a vote and a term are durable before they are told (trap 1), one vote a term (trap 3), an answer to
an Append never claims more than that Append carried (S2, trap 15), a commit index is followed only as far as the log
was verified in the same term (S3, trap 16), reads for the leader are checked against the term in the same step (S4),
and nothing at or below the applied index is ever truncated. A configuration is in force from the moment on in which
its entry is appended, and no longer once that entry is truncated (S14, [D] 4.1).

The caller steps any number of messages, then commits the log once, then sends the answers: group commit. What
``step`` changes in memory may be told to nobody before that commit.
"""

from __future__ import annotations

from collections import deque

from zraft.core.audit import INDEXES_MAX
from zraft.core.durable import Log
from zraft.core.effects import Answer, Ignored
from zraft.core.versions import FIRST, SUPPORTED
from zraft.errors import InvariantViolated, StateDiverged
from zraft.protocol.codec import configuration_of
from zraft.protocol.entries import (
    Configuration,
    EntryId,
    EntryKind,
    decode_entry,
    entry_is_sound,
    entry_kind,
    entry_term,
)
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Read,
    ReadAnswer,
    StatusQuery,
    StorageStatus,
    StoreRecord,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import (
    NO_CHECKPOINT,
    Append,
    AppendAnswer,
    Checkpoint,
    Commit,
    Diverged,
    InstallAnswer,
    InstallSnapshot,
    SnapshotId,
)

NO_CONFIGURATION = Configuration(0, ())
NOTHING = EntryId(0, 0)
HINT_ENTRIES_MAX = 1_000
"""A conflicting term's first entry is looked for so far back, and no further: votes wait meanwhile."""

Question = StatusQuery | StoreRecord | Campaign | VoteQuery | Append | Commit | Read | Diverged
Reply = StorageStatus | CampaignAnswer | VoteQueryAnswer | AppendAnswer | ReadAnswer | InstallAnswer


class Acceptor:
    """Decides every durable step of one node.

    Invariant: base.index <= applied <= commit <= last.index. ``commit`` never goes back, and grows only as far as the
    log was verified in the current term (S3); ``applied`` is moved by storage, with ``applied_to``.
    """

    def __init__(self, log: Log, applied: int = 0, supported: int = SUPPORTED) -> None:
        self._log = log
        self.supported = supported
        """The newest cluster version that this node's code knows: its answers announce it."""
        self.cluster_version = FIRST
        """Of the state in use, as far as it is published."""
        self._verified = 0  # S3: the highest match answered in the current term; forgotten with the process
        self.leader = 0
        """Of the current term, as far as an Append of it came by; else 0."""
        self.commit = applied
        self.applied = applied
        self.offer: SnapshotId | None = None
        """This node's newest snapshot, for a peer that needs entries which were cut from the log."""
        self._checkpoints: deque[Checkpoint] = deque(maxlen=INDEXES_MAX)  # of the state in use, as they were told

    @property
    def term(self) -> int:
        """The durable current term (or the one that the next commit makes durable)."""
        return self._log.term

    @property
    def checkpoint(self) -> Checkpoint:
        """Of the state in use: the newest digest of it that was published, for the leader to compare."""
        return self._checkpoints[-1] if self._checkpoints else NO_CHECKPOINT

    def note_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Storage has published a state with this digest."""
        self._checkpoints.append(checkpoint)

    def configuration(self) -> Configuration:
        """The configuration in force at the end of the log."""
        configurations, record = self._log.configurations, self._log.record
        if configurations:
            return configurations[-1]
        return record.configuration() if record else NO_CONFIGURATION

    def may_campaign(self) -> bool:
        """Whether this node votes in the newest configuration committed here, or in one behind it (trap 11).

        "A server that is not part of its own latest configuration should still start new elections, as it might still
        be needed until the Cnew entry is committed" ([D] 4.2.2): where a leader of two removes itself, the other one
        can't do without it. Its own vote counts only if it is in the latest.
        """
        log = self._log
        known = (log.record.configuration() if log.record else NO_CONFIGURATION, *log.configurations)
        committed = max(one.index for one in known if one.index <= self.commit)
        return any(log.member in one.voters() for one in known if one.index >= committed)

    def status(self) -> StorageStatus:
        """What the log holds, for election."""
        log = self._log
        return StorageStatus(
            log.member,
            log.term,
            log.vote,
            log.last,
            log.record,
            log.formed,
            self.configuration(),
            log.initial_state,
            self.commit,
            self.may_campaign(),
        )

    def applied_to(self, index: int) -> None:
        """Storage has applied everything up to ``index``."""
        if not self.applied <= index <= self.commit:
            raise InvariantViolated("applied <= commit", applied=index, before=self.applied, commit=self.commit)
        self.applied = index

    def step(self, message: Question, sender: int) -> Answer[Reply] | Ignored | None:
        """Decide on one message from member ``sender`` (this node's own id for its own actors). None: no answer.

        Raises:
            StateDiverged: the state in use is not what a majority has. Nothing more may be served of it.
        """
        match message:
            case Append():
                return self.on_append(message, sender)
            case Commit():
                return self.on_commit(message)
            case Read():
                return self.on_read(message)
            case VoteQuery():
                return self.on_vote_query(message)
            case Campaign():
                return self.on_campaign(message)
            case StatusQuery():
                return Answer(self.status())
            case StoreRecord():
                return self.on_store_record(message)
            case Diverged():
                return self.on_diverged(message)

    def on_campaign(self, message: Campaign) -> Answer[Reply]:
        """Take the next term and vote for ourselves, if we may lead at all (trap 11)."""
        granted = message.term > self._log.term and self.may_campaign()
        if granted:
            self._enter(message.term, vote=self._log.member)
        log = self._log
        return Answer(CampaignAnswer(message.term, message.ballot, granted, log.term, log.last, self.configuration()))

    def on_vote_query(self, message: VoteQuery) -> Answer[Reply]:
        """Decide a vote, or a pre-vote, which asks the same of the next term and changes nothing ([D] 9.6).

        "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log, grant
        vote" ([R] figure 2).
        """
        log = self._log
        free = message.term > log.term or (message.term == log.term and log.vote in (0, message.candidate))
        granted = free and message.last.up_to_date_as(log.last)
        if granted and message.durable and (log.term, log.vote) != (message.term, message.candidate):
            self._enter(message.term, vote=message.candidate)
        return Answer(
            VoteQueryAnswer(message.term, message.candidate, message.ballot, message.durable, granted, log.term)
        )

    def on_append(self, message: Append, sender: int) -> Answer[Reply] | Ignored:
        """AppendEntries ([R] 5.3), as S2 answers it: about this Append's entries, never about the log's end."""
        log = self._log
        if message.term < log.term:
            return Answer(self._refused(message.previous.index, NOTHING))
        for index, data in enumerate(message.entries, message.previous.index + 1):
            if not entry_is_sound(index, data) or entry_term(data) > message.term:
                return Ignored(f"entry {index} was damaged on its way from {sender:016x}")
        self._follow(message.term, sender)
        if message.previous.index < log.base.index:
            return self._known(message)
        here = log.term_at(message.previous.index)
        if here != message.previous.term:
            return Answer(self._mismatch(message, here))
        self._take(message)
        match = message.previous.index + len(message.entries)
        self._verified = max(self._verified, match)
        self._commit_to(message.commit)
        return self._accepted(match, message.previous.index)

    def on_commit(self, message: Commit) -> Ignored | None:
        """Follow the leader's commit index as far as our log was verified in its term (S3, trap 16).

        It has no answer of its own: the answer to the next Append tells how far we follow.
        """
        if message.term != self._log.term:
            return Ignored(f"commit of term {message.term} in term {self._log.term}")
        self._commit_to(message.index)
        return None

    def on_read(self, message: Read) -> Answer[Reply]:
        """Entries for a lagging peer, in the leader's own term only (S4); or, if they were cut, a snapshot."""
        log = self._log
        previous_term = log.term_at(message.first - 1)
        if message.term != log.term or previous_term is None:
            return Answer(ReadAnswer(log.term, message.peer, NOTHING, (), self._offer_for(message)))
        entries = tuple(log.entries(message.first, message.bytes_max))
        return Answer(ReadAnswer(log.term, message.peer, EntryId(message.first - 1, previous_term), entries))

    def admit(self, message: InstallSnapshot, sender: int, exhausted: bool) -> Answer[Reply] | None:
        """The guards of InstallSnapshot ([R] section 7); None: the piece may be staged, nothing else has changed.

        A candidate follows the leader that sends it (trap 9). What the snapshot covers and is committed here anyway
        is answered as installed: an old snapshot never takes log or state back. ``exhausted``: no piece is taken.
        """
        log = self._log
        if message.data and exhausted:
            return Answer(self.alive())
        if message.term < log.term:
            return Answer(InstallAnswer(log.term, message.snapshot, 0))
        self._follow(message.term, sender)
        if message.snapshot.index <= self.commit:
            return Answer(InstallAnswer(log.term, message.snapshot, message.snapshot.size, installed=True))
        return None

    def answers_to(self, message: InstallSnapshot, answers: list[InstallAnswer]) -> list[Reply]:
        """What is answered to a piece that was admitted: to a question always something, even if it came to nothing."""
        return [*answers] if answers or message.data else [self.alive()]

    def install(self, snapshot: EntryId, generation: int, configuration: Configuration | None) -> None:
        """Let a whole and sound snapshot stand for all entries up to ``snapshot``, with the state of ``generation``.

        The caller commits the log before anything is answered or read of it. The term stays: a snapshot says nothing
        of it (trap 26). ``configuration`` is the one in force at its end; None: the record's.

        Raises:
            InvariantViolated: what the snapshot covers is committed here: it would take the state back.
        """
        if snapshot.index <= self.commit:
            raise InvariantViolated("a snapshot is ahead of what is committed", snapshot=snapshot, commit=self.commit)
        self._log.install(snapshot, generation)
        kept = [one for one in self._log.configurations if snapshot.index < one.index <= self._log.last.index]
        self._log.keep_configurations((configuration, *kept) if configuration else tuple(kept))
        self._verified = max(self._verified, snapshot.index)  # committed: every leader from now on has it
        self.commit = self.applied = snapshot.index
        self._checkpoints.clear()

    def on_store_record(self, message: StoreRecord) -> Answer[Reply]:
        """Store the index-0 record: once in a life, never another one."""
        mine = self._log.record
        if mine is not None and mine != message.record:
            raise InvariantViolated("one index-0 record in a life", stored=mine, new=message.record)
        if mine is None or message.formed > self._log.formed:
            self._log.set_record(message.record, message.formed)
        return Answer(self.status())

    def on_diverged(self, message: Diverged) -> Ignored:
        """The leader found that our state is not a majority's: true only if it speaks of the state in use.

        One that was installed or made anew meanwhile has not been judged: it forgot what the other one told.

        Raises:
            StateDiverged: it does.
        """
        if message.term != self._log.term:
            return Ignored(f"a verdict of term {message.term} in term {self._log.term}")
        if Checkpoint(message.index, message.digest) not in self._checkpoints:
            return Ignored(f"a verdict on a state at index {message.index} that is not in use")
        raise StateDiverged(
            f"the state has the digest {message.digest:016x} at index {message.index}, where a majority of the voters "
            f"has {message.majority:016x}"
        )

    def check_invariants(self) -> None:
        """What must hold after every step (basic part; the simulator checks the rest across steps)."""
        log = self._log
        if not log.base.index <= self.applied:
            raise InvariantViolated("base <= applied", base=log.base, applied=self.applied)
        if not self.applied <= self.commit <= log.last.index:
            raise InvariantViolated("applied <= commit <= last", applied=self.applied, commit=self.commit)
        if log.last.term > log.term:
            raise InvariantViolated("last.term <= term", last=log.last, term=log.term)
        if self._verified > log.last.index:
            raise InvariantViolated("verified <= last", verified=self._verified, last=log.last)

    def _enter(self, term: int, vote: int) -> None:
        if term < self._log.term:
            raise InvariantViolated("term never goes back", term=self._log.term, new=term)
        if term > self._log.term:
            self._verified = 0  # S3: forgotten when the term rises (traps 14, 18)
            self.leader = 0
        self._log.set_term(term, vote)

    def _follow(self, term: int, leader: int) -> None:
        """Guard the election's result: one leader a term (trap 2), and a leader of ours voted for itself."""
        log = self._log
        if leader == log.member and (log.term, log.vote) != (term, leader):
            raise InvariantViolated("own Append has own vote", term=term, log_term=log.term, vote=log.vote)
        if term > log.term:
            self._enter(term, vote=0)
        if self.leader not in (0, leader):
            raise InvariantViolated("election safety", term=term, leader=leader, other=self.leader)
        self.leader = leader

    def _take(self, message: Append) -> None:
        """Append what is new; "if an existing entry conflicts with a new one, delete it and all that follow it"."""
        log = self._log
        index = message.previous.index
        for position, data in enumerate(message.entries):
            index += 1
            here = log.term_at(index)
            if here == entry_term(data):
                continue  # already there: a delayed or repeated Append erases nothing (trap 15)
            if here is not None:
                if index <= self.commit:
                    raise InvariantViolated("committed entries stay", index=index, commit=self.commit, term=here)
                log.truncate(index)
            log.append(index, message.entries[position:])
            self._configure(index, message.entries[position:])
            return

    def _configure(self, first: int, entries: tuple[bytes, ...]) -> None:
        """Keep the configurations that entries from ``first`` on bring; those that stood there are gone (S14)."""
        known = self._log.configurations
        kept = [one for one in known if one.index < first]
        for index, data in enumerate(entries, first):
            if entry_kind(data) == EntryKind.CONFIGURATION:
                configuration = configuration_of(decode_entry(index, data))
                kept += [configuration] if configuration else []
        # Of those that are committed only the newest can ever be in force again.
        committed = [one for one in kept if one.index <= self.commit]
        kept = [*committed[-1:], *(one for one in kept if one.index > self.commit)]
        if tuple(kept) != known:
            self._log.keep_configurations(tuple(kept))

    def _known(self, message: Append) -> Answer[Reply]:
        """An Append that begins before the log does: all up to ``base`` is committed, so every leader has the same.

        Nothing of it is taken: the leader goes on behind ``base`` (S2 with leader completeness, [R] figure 3).
        """
        log = self._log
        self._verified = max(self._verified, log.base.index)
        self._commit_to(message.commit)
        return self._accepted(log.base.index, message.previous.index)

    def _accepted(self, match: int, probe: int) -> Answer[Reply]:
        versions = self.supported, self.cluster_version
        return Answer(
            AppendAnswer(self._log.term, True, match, self.commit, probe, NOTHING, self.checkpoint, *versions)
        )

    def _mismatch(self, message: Append, here: int | None) -> AppendAnswer:
        """The hint that saves the leader one round trip an entry ([R] 5.3): the conflicting term's first index."""
        log = self._log
        probe = message.previous.index
        if here is None:
            return self._refused(probe, EntryId(log.last.index + 1, 0))
        first = probe
        least = max(log.first_index, self.commit + 1, probe - HINT_ENTRIES_MAX)
        while first > least and log.term_at(first - 1) == here:
            first -= 1
        return self._refused(probe, EntryId(first, here))

    def _offer_for(self, message: Read) -> SnapshotId | None:
        """The snapshot in place of cut entries: not one that the peer could go no further with, nor a damaged one."""
        offer, log = self.offer, self._log
        cut = message.term == log.term and message.first <= log.base.index
        if offer is None or not cut or offer.checksum == message.damaged or offer.index < log.base.index:
            return None
        return offer

    def alive(self) -> AppendAnswer:
        """An answer that says nothing of the log, for what can't be taken now: who is silent is taken for dead."""
        return self._refused(0, NOTHING)

    def _refused(self, probe: int, conflict: EntryId) -> AppendAnswer:
        versions = self.supported, self.cluster_version
        return AppendAnswer(self._log.term, False, 0, self.commit, probe, conflict, NO_CHECKPOINT, *versions)

    def _commit_to(self, index: int) -> None:
        self.commit = max(self.commit, min(index, self._verified))  # never back (trap 13)
