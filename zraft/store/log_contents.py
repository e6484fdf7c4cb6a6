"""What the two tables of a log hold, read and checked within one transaction: for whoever opens it, or looks at it.

``meta``     format version; member id, hard state, index-0 record and configurations, each behind a checksum
``entries``  index (u64, big endian) -> the encoded entry, exactly as it came

LMDB 0.9 has no checksums of its own. So the hard state tells, beside term and vote, behind which entry the log begins
and with which it ends: a damaged page that hides entries is found, and a log is never served or voted with shortened
(trap 29).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import lmdb
import msgspec

from zraft.core.versions import fault_of_format
from zraft.errors import IdentityRefused, ProtocolError
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord, Configuration, EntryId, entry_is_sound, entry_term
from zraft.store.environment import corrupt_log
from zraft.store.sealed import unseal

META, ENTRIES = b"meta", b"entries"
FORMAT, MEMBER, HARD, RECORD = b"format", b"member", b"hard", b"record"
GENERATION, INITIAL, CONFIGURATIONS = b"generation", b"initial", b"configurations"

U32, U64 = struct.Struct(">I"), struct.Struct(">Q")
HARD_STATE = struct.Struct(">QQQQQQ")
"""Term, vote, index and term of the base, index and term of the last entry."""
JOURNALED = struct.Struct(">QQ")
"""Behind it, in a log that may have a journal: its identity, 0 for none; the id of the transaction that wrote all this.

They stand with what every log must have, so that no flipped bit makes a log forget that it has a journal.
"""
at = U64.pack
"""The key of the entry at an index."""


class Contents(msgspec.Struct, frozen=True):
    """What ``meta`` holds; each field as in ``store.log.LmdbLog``. ``format``: the number of the log's format.

    ``journal``: the identity of the journal (``store.journal``) that stands beside these tables, 0: there is none.
    ``commit``: the id of the LMDB transaction that wrote all this, 0: of a format that does not tell.
    """

    format: int
    member: int
    term: int
    vote: int
    base: EntryId
    last: EntryId
    generation: int
    initial_state: bytes
    record: ClusterRecord | None
    formed: bool
    configurations: tuple[Configuration, ...]
    journal: int
    commit: int


def read_contents(txn: lmdb.Transaction[bytes], meta: lmdb._Database, log: Path) -> Contents:
    """What ``meta`` says of the log in the directory ``log``.

    Raises:
        IdentityRefused: it is of a format that this version does not know.
        CorruptLog: something of it is missing or damaged.
    """

    def get(name: bytes, optional: bool = False) -> bytes:
        sealed = txn.get(name, b"", meta)
        if optional and not sealed:
            return b""
        value = unseal(name, sealed)
        if value is None:
            raise corrupt_log(log, None, f"has a damaged {name.decode()} in its table 'meta'")
        return value

    found = txn.get(FORMAT, db=meta)
    if found is None or len(found) != U32.size:
        raise corrupt_log(log, None, "holds no format version")
    (number,) = U32.unpack(found)
    if fault := fault_of_format(number, f"the log in {log}"):
        raise IdentityRefused(fault)
    (member,) = U64.unpack(get(MEMBER))
    hard = get(HARD)
    term, vote, *reach = HARD_STATE.unpack_from(hard)
    journal, commit = JOURNALED.unpack_from(hard, HARD_STATE.size) if len(hard) > HARD_STATE.size else (0, 0)
    record, configurations = get(RECORD, optional=True), get(CONFIGURATIONS, optional=True)
    try:
        return Contents(
            format=number,
            member=member,
            term=term,
            vote=vote,
            base=EntryId(*reach[:2]),
            last=EntryId(*reach[2:]),
            generation=int.from_bytes(get(GENERATION, optional=True), "big"),
            initial_state=get(INITIAL, optional=True),
            record=codec.cluster_record.decode(record[1:]) if record else None,
            formed=bool(record and record[0]),
            configurations=codec.configurations.decode(configurations) if configurations else (),
            journal=journal,
            commit=commit,
        )
    except ProtocolError as error:
        raise corrupt_log(log, None, f"has an unreadable record of the cluster's members: {error}") from error


def scan(txn: lmdb.Transaction[bytes], entries: lmdb._Database, log: Path, first: int, last: int) -> Iterator[bytes]:
    """Every entry from ``first`` to ``last``, or ``CorruptLog`` at the first that is missing or damaged."""
    with txn.cursor(entries) as cursor:
        cursor.set_range(at(first))
        for index in range(first, last + 1):
            key, data = cursor.item()
            if key != at(index):
                raise corrupt_log(log, index, "is missing")
            if not entry_is_sound(index, data):
                raise corrupt_log(log, index, "does not match its checksum")
            yield data
            cursor.next()


def verify_entries(txn: lmdb.Transaction[bytes], entries: lmdb._Database, log: Path, known: Contents) -> None:
    """Every entry from the first to the last is there and sound, and there is no other one (trap 24).

    Raises:
        CorruptLog: it is not so.
    """
    base, last = known.base, known.last
    term = base.term
    for data in scan(txn, entries, log, base.index + 1, last.index):
        term = entry_term(data)
    held = txn.stat(entries)["entries"]
    if held != last.index - base.index:
        raise corrupt_log(log, None, f"holds {held} entries where {last.index - base.index} are known")
    if term != last.term:
        raise corrupt_log(log, last.index, f"is of term {term}, and known to be of term {last.term}")
