"""Who plays in the tests of the core: members A to E, their configurations, their logs and entries."""

from tests.simulation.memory import MemoryLog
from zraft.protocol.entries import ClusterRecord, EntryId, EntryKind, Member, encode_entry

A, B, C, D, E = 1, 2, 3, 4, 5
NOBODY = EntryId(0, 0)


def record_of(*members: int, learners: tuple[int, ...] = ()) -> ClusterRecord:
    return ClusterRecord(tuple(Member(id, f"node-{id}", id not in learners) for id in members), 150)


THREE = record_of(A, B, C)
CONFIGURATION = THREE.configuration()


def entry(index: int, term: int, payload: bytes = b"") -> bytes:
    return encode_entry(index, term, EntryKind.COMMANDS, payload=payload)


def entries(first: int, *terms: int) -> tuple[bytes, ...]:
    """Entries from index ``first`` on, one for each term."""
    return tuple(entry(index, term) for index, term in enumerate(terms, first))


def log_of(*terms: int, term: int = 0, vote: int = 0, member: int = A, record: ClusterRecord = THREE) -> MemoryLog:
    """A durable log whose entries have these terms; its current term is ``term``, or the last entry's."""
    log = MemoryLog(member)
    log.set_record(record, formed=True)
    log.append(1, entries(1, *terms))
    log.set_term(term or max(terms, default=0), vote)
    log.commit()
    return log


def terms_in(log: MemoryLog) -> list[int | None]:
    return [log.term_at(index) for index in range(1, log.last.index + 1)]
