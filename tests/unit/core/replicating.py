"""A leader, A, whose replication the tests step through. Times are seconds of its clock."""

from tests.unit.core.cast import A, B, C, record_of
from zraft.core.replication import (
    COMMIT_SECONDS,
    RETRANSMIT_SECONDS,
    PublishCommit,
    Replication,
)
from zraft.protocol.entries import EntryId, EntryKind, Origin, encode_entry
from zraft.protocol.local import CommitGroup, Lead, Propose
from zraft.protocol.peer import Append, AppendAnswer

TERM = 3
LAST = EntryId(5, 2)
"""Where the leader's log ended when it was elected."""
PAYLOAD = b"commands"
EVERYTHING = 1 << 20
LATE = RETRANSMIT_SECONDS * 1.1


def lead(*members: int, term: int = TERM, learners: tuple[int, ...] = ()) -> Lead:
    return Lead(term, LAST, record_of(*members, learners=learners).configuration())


def leader(*members: int, learners: tuple[int, ...] = ()) -> Replication:
    core = Replication(A)
    core.step(lead(*members, learners=learners), 10.0, A)
    return core


def streaming(*members: int, learners: tuple[int, ...] = ()) -> Replication:
    """A leader whose storages all matched the entry before its first one, and were sent that."""
    core = leader(*members, learners=learners)
    core.flush(10.0)
    for member in members:
        core.step(accepted(5), 10.0, member)
    core.flush(10.0)
    return core


def accepted(match: int, commit: int = 0, term: int = TERM) -> AppendAnswer:
    return AppendAnswer(term, True, match, commit)


def refused(probe: int, conflict: EntryId, term: int = TERM) -> AppendAnswer:
    return AppendAnswer(term, False, 0, 0, probe, conflict)


def propose(number: int = 1, term: int = TERM, nonce: int = 77) -> Propose:
    return Propose(term, Origin(B, 0, nonce, number), True, PAYLOAD)


def empty(index: int) -> bytes:
    return encode_entry(index, TERM, EntryKind.EMPTY)


def proposed(index: int, number: int = 1) -> bytes:
    return encode_entry(index, TERM, EntryKind.COMMANDS, propose(number).origin, PAYLOAD)


def published(commit: int) -> PublishCommit:
    return PublishCommit(CommitGroup(TERM, commit))


def flush_all(core: Replication) -> None:
    """Whatever is to leave has left, also what waits for company."""
    core.flush(10.0)
    core.flush(10.0 + COMMIT_SECONDS)


PROBE = Append(TERM, LAST, (), 0)


def commit_everywhere(core: Replication) -> None:
    for member in (A, B, C):
        core.step(accepted(6), 10.0, member)
    flush_all(core)
    for member in (A, B, C):
        core.step(accepted(6, commit=6), 10.0, member)
