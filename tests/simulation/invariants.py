"""What must hold after every step ([R] figure 3, and what zraft adds to it), checked from outside of all nodes.

The truth that the nodes are held against is one list: the entries that some leader found committed, in their order,
applied by a state machine of its own.
"""

from typing import TYPE_CHECKING

from tests.simulation.history import History
from tests.simulation.memory import MemoryState
from tests.simulation.truth import Committed, Truth, values_of
from zraft.core.keyspace import Keyspace
from zraft.core.quorum import Quorum
from zraft.core.records import (
    APPLIED,
    CLUSTER_VERSION,
    AppliedState,
    check_record,
    digest_of,
    read_applied,
    read_cluster_version,
    read_record_key,
)
from zraft.core.versions import FIRST
from zraft.protocol.codec import configuration_of, split_results
from zraft.protocol.entries import (
    NO_ORIGIN,
    Configuration,
    Entry,
    EntryId,
    EntryKind,
    Origin,
    decode_entry,
    entry_term,
)
from zraft.protocol.local import CampaignAnswer, VoteQueryAnswer
from zraft.protocol.peer import NO_CHECKPOINT, Checkpoint

if TYPE_CHECKING:
    from tests.simulation.watched import WatchedLog


class Violation(Exception):
    """A rule does not hold: the run has found a bug."""


def require(truth: bool, rule: str, **facts: object) -> None:
    if not truth:
        raise Violation(rule + ": " + " ".join(f"{name}={fact}" for name, fact in facts.items()))


class Invariants:
    """Told of everything that happens, in the order in which it happens."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        """The newest that is committed."""
        self.logs: dict[int, WatchedLog] = {}
        self.fewest_voters = len(configuration.voters())
        """Of all configurations that were ever in force."""
        self.leaders: dict[int, int] = {}
        self._grants: dict[tuple[int, int], int] = {}
        self._leases: dict[int, float] = {}
        self._elected: dict[int, float] = {}  # term -> when its leader was
        self._successors: dict[int, set[int]] = {}
        self._entries: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._committed: list[Committed] = []
        self._published: dict[int, int] = {}
        self._origins: dict[Origin, int] = {}
        self._values: dict[bytes, int] = {}
        self.history = History()
        self._state = Truth(self.history)
        self._keyspace = Keyspace(self._state)

    @property
    def commit(self) -> int:
        """The highest index that any leader found committed."""
        return len(self._committed)

    @property
    def newest_term(self) -> int:
        """The highest term that ever had a leader."""
        return max(self.leaders, default=0)

    @property
    def version(self) -> int:
        """The cluster version, behind all that is committed."""
        return self._keyspace.version

    def state_at(self, index: int) -> AppliedState:
        """What every state says of itself once it has applied the entry at ``index``."""
        return self._committed[index - 1].state if index else read_applied(None)

    def checkpoint_at(self, index: int) -> int:
        """What replicas are compared by once they have applied the entry at ``index``."""
        return self._committed[index - 1].checkpoint

    def has_all(self, node: int, index: int) -> bool:
        """Whether its log has what is committed up to ``index``, and no other entries there."""
        return not index or self._term_in(node, index) == self._committed[index - 1].term

    def executed_at(self, value: bytes) -> int:
        """Index of the entry that put ``value``; 0: none did."""
        return self._values.get(value, 0)

    # --- elections

    def granted(self, voter: int, term: int, candidate: int) -> None:
        """A storage told that it voted (traps 1, 3)."""
        before = self._grants.setdefault((voter, term), candidate)
        require(before == candidate, "one vote a term", voter=voter, term=term, first=before, second=candidate)

    def decided(self, voter: int, answer: object) -> None:
        """A storage decided: what it will tell must be what its next commit stores (trap 1)."""
        log = self.logs[voter]
        match answer:
            case VoteQueryAnswer(term, candidate, granted=True, durable=True):
                stored = term, candidate
            case CampaignAnswer(term, granted=True):
                stored = term, voter
            case _:
                return
        require((log.term, log.vote) == stored, "a vote is stored", voter=voter, told=stored, log=(log.term, log.vote))

    def leased(self, term: int, until: float) -> None:
        """A majority answered a round: nobody else may lead before ``until``, were leases in use (S7)."""
        require(term not in self._successors, "S8: a surrendered lease is none in its term", term=term)
        elected = min((at for newer, at in self._elected.items() if newer > term), default=until)
        require(until <= elected, "S7: no lease beyond the next election", term=term, until=until, elected=elected)
        self._leases[term] = max(until, self._leases.get(term, until))

    def handed_over(self, term: int, successor: int) -> None:
        """The leader of ``term`` gave up its lease, and asked for a campaign (S8)."""
        self._leases.pop(term, None)
        self._successors.setdefault(term, set()).add(successor)

    def asked_by_transfer(self, candidate: int, term: int) -> None:
        """A candidate asks for votes that by-pass stickiness (S8)."""
        asked = candidate in self._successors.get(term - 1, ())
        require(asked, "S8: only whom the leader asked by-passes stickiness", candidate=candidate, term=term)

    def elected(self, leader: int, term: int, now: float) -> None:
        """Election safety, leader completeness, and that no older leader could still believe in a lease."""
        other = self.leaders.setdefault(term, leader)
        self._elected.setdefault(term, now)
        require(other == leader, "election safety", term=term, leaders=(other, leader))
        voters = [voter for (voter, voted), candidate in self._grants.items() if (voted, candidate) == (term, leader)]
        quorum = Quorum(self._in_force(leader).voters())
        require(quorum.reached(voters), "a majority voted for the leader", term=term, leader=leader, by=voters)
        held = max((until for older, until in self._leases.items() if older < term), default=0.0)
        require(now >= held, "S7: a promise was kept", term=term, leader=leader, until=held)
        older = [index for index, entry in enumerate(self._committed, 1) if entry.by < term]
        if older:
            index = older[-1]  # by log matching, the last of them vouches for all
            expected = self._committed[index - 1].term
            found = self._term_in(leader, index)
            require(found == expected, "leader completeness", leader=leader, term=term, index=index, found=found)

    def round_confirmed(self, term: int, newest_at_arrival: int) -> None:
        """A read learnt that ``term`` was led after it had arrived: no later term had a leader before that (S7)."""
        require(term >= newest_at_arrival, "a round proves leadership", term=term, newer=newest_at_arrival)

    # --- the log

    def in_force(self, *configurations: Configuration) -> None:
        """They decide from now on: a leader goes by its newest one before any log holds it ([D] 4.1)."""
        self.fewest_voters = min([self.fewest_voters, *(len(one.voters()) for one in configurations)])

    def appended(self, index: int, previous_term: int, data: bytes) -> None:
        """Log matching: (index, term) names one entry, and one entry before it."""
        mine = (data, previous_term)
        known = self._entries.setdefault((index, entry_term(data)), mine)
        require(known == mine, "log matching", index=index, term=entry_term(data), before=(known[1], previous_term))

    def truncated(self, node: int, first: int) -> None:
        """Leader append-only: "a leader never overwrites or deletes entries in its log"."""
        log = self.logs[node]
        leads = self.leaders.get(log.term) == node
        require(not leads, "leader append-only", node=node, term=log.term, first=first)

    def committed(self, leader: int, term: int, before: int, commit: int, voters: frozenset[int]) -> None:
        """Replication found that ``commit`` is committed; its entries behind ``before`` are of its own term."""
        require(commit > self._published.get(term, 0), "commit is monotonic", term=term, commit=commit)
        require(commit > before, "S5: only entries of the leader's own term are counted", term=term, commit=commit)
        self._published[term] = commit
        own = self.logs[leader]
        for index in range(self.commit + 1, commit + 1):
            entry = term if index > before else own.term_at(index)
            self._take(index, entry or 0, term)
        entry = term if commit > before else own.term_at(commit)
        copies = [node for node in self.logs if self._durable_term_in(node, commit) == entry]
        majority = Quorum(voters).reached(copies)
        require(majority, "a majority holds what is committed", index=commit, copies=copies, voters=voters)

    def matched(self, leader: int, term: int, before: int, follower: int, match: int) -> None:
        """A leader believes that a storage holds its log up to ``match`` (S2, traps 14, 18)."""
        log, own = self.logs[follower], self.logs[leader]
        if log.term != term or not match or (own.term != term and match <= before):
            return  # it, or the leader's own storage, follows somebody else by now
        expected = term if match > before else self._term_in(leader, match)
        found = self._durable_term_in(follower, match)
        require(found == expected, "what matches is stored", leader=leader, follower=follower, match=match, found=found)

    def followed(self, node: int, before: int, commit: int) -> None:
        """A storage moved its commit index."""
        require(commit >= before, "a storage's commit is monotonic", node=node, commit=commit, before=before)
        require(commit <= self.commit, "no storage is ahead of the leaders", node=node, commit=commit)
        found, expected = self._term_in(node, commit), self._committed[commit - 1].term if commit else 0
        require(found == expected, "a storage follows its own log's entry", node=node, commit=commit, found=found)

    def answers_of(self, index: int, command: bytes) -> list[bytes]:
        """What the entry at ``index`` answers to this command: as often as it holds it."""
        entry = self._committed[index - 1]
        data, _ = self._entries[index, entry.term]
        commands = split_results(decode_entry(index, data).payload)
        answers = split_results(entry.results)
        return [answer for one, answer in zip(commands, answers, strict=True) if one == command]

    def cut(self, node: int, base: EntryId) -> None:
        """A log begins behind ``base`` from now on: committed, and the same everywhere (log matching)."""
        require(base.index <= self.commit, "only what is committed is cut", node=node, base=base)
        expected = self._committed[base.index - 1].term
        require(base.term == expected, "a log begins behind a committed entry", node=node, base=base, term=expected)

    def installed(self, node: int, term: int, kept: bool) -> None:
        """A storage is about to let a snapshot take the place of its log, or of the part before it (``kept``)."""
        require(kept or self.leaders.get(term) != node, "leader append-only", node=node, term=term)

    def filled(self, node: int, state: MemoryState) -> None:
        """A state was made from a snapshot (state machine safety)."""
        _, records, meta = state.tables()
        applied = read_applied(meta.get(APPLIED))
        self.applied(node, applied, read_cluster_version(meta.get(CLUSTER_VERSION)))
        for at, record in records.items():
            self.recorded(node, at, record)
        found = 0
        for at, record in records.items():
            revision, sub = read_record_key(at)
            found += digest_of(revision, check_record(revision, sub, record))
        require(found % (1 << 64) == applied.digest, "a snapshot has the records of its digest", node=node)

    def told(self, term: int, commit: int, page: tuple[int, int]) -> None:
        """Replication tells a storage a commit index: it must stand on the page by now (S10)."""
        require(commit == 0 or page == (term, commit), "S10", told=(term, commit), page=page)

    # --- the state

    def applied(self, node: int, state: AppliedState, version: int) -> None:
        """A storage published its state (state machine safety): digest, revisions, cluster version and all."""
        index = state.applied.index
        require(index <= self.commit, "only committed entries are applied", node=node, index=index)
        expected = self.state_at(index)
        require(state == expected, "equal states at equal index", node=node, state=state, expected=expected)
        rules = self._committed[index - 1].version if index else FIRST
        require(version == rules, "one cluster version at an index", node=node, index=index, version=version, of=rules)

    def recorded(self, node: int, at: bytes, record: bytes) -> None:
        """A storage wrote a record of its state."""
        require(self.history.records.get(at) == record, "state machine safety", node=node, at=at.hex())

    def answered(self, index: int, results: bytes) -> None:
        """A storage gave out the results of an entry."""
        require(self._committed[index - 1].results == results, "equal results at equal index", index=index)

    def checkpointed(self, node: int, told: Checkpoint, was_wrong: bool) -> None:
        """A storage told the leader what its state was."""
        if told != NO_CHECKPOINT and not was_wrong:
            expected = self.checkpoint_at(told.index)
            require(told.digest == expected, "a checkpoint is that of the state at its index", node=node, told=told)

    def same_state(self, node: int, state: MemoryState) -> None:
        """At the end: the whole of it."""
        for mine, others in (
            (state.keys_from(b""), self._state.keys_from(b"")),
            (state.records_from(b""), self._state.records_from(b"")),
        ):
            require(list(mine) == list(others), "equal states at the end", node=node)

    def _in_force(self, node: int) -> Configuration:
        log = self.logs[node]
        if log.configurations:
            return log.configurations[-1]
        if log.record is None:
            raise Violation(f"a node that takes part has a record: node={node}")
        return log.record.configuration()

    def _follow_members(self, entry: Entry) -> None:
        """Members change by one voter at most (S14)."""
        configuration = configuration_of(entry)
        if configuration is None:
            raise Violation(f"a committed configuration can be read: index={entry.index}")
        changed = configuration.voters() ^ self.configuration.voters()
        require(len(changed) <= 1, "S14: one change at a time", index=entry.index, changed=changed)
        self.configuration = configuration

    def _term_in(self, node: int, index: int) -> int | None:
        """The term of an entry of a log; what was cut is committed, so it is known."""
        log = self.logs[node]
        return self._committed[index - 1].term if 0 < index < log.base.index else log.term_at(index)

    def _durable_term_in(self, node: int, index: int) -> int | None:
        """As a crash right now would leave it."""
        log = self.logs[node]
        return self._committed[index - 1].term if 0 < index < log.durable_base else log.durable_term_at(index)

    def _take(self, index: int, term: int, by: int) -> None:
        known = self._entries.get((index, term))
        require(known is not None, "committed entries exist", index=index, term=term)
        entry = decode_entry(index, known[0] if known else b"")
        if entry.kind == EntryKind.CONFIGURATION:
            self._follow_members(entry)
        if entry.origin != NO_ORIGIN:
            first = self._origins.setdefault(entry.origin, index)
            require(first == index, "S9: a proposal is in the log once", origin=entry.origin, indexes=(first, index))
        for value in values_of(entry.kind, entry.payload):
            first = self._values.setdefault(value, index)
            require(first == index, "a command is executed once (trap 55)", value=value, indexes=(first, index))
        results: list[bytes] = []
        before = self._keyspace.version
        for _ in self._keyspace.apply(entry, results):
            pass
        self._keyspace.commit()
        state = read_applied(self._state.meta(APPLIED))
        require(self._keyspace.version >= before, "a cluster version is never lowered", index=index, before=before)
        keyspace = self._keyspace
        self._committed.append(Committed(term, by, state, b"".join(results), keyspace.version, keyspace.checkpoint()))
