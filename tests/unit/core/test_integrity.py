"""A whole state is checked: nothing may be damaged, missing or one too many."""

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, strategies as st

from tests.simulation.memory import MemoryState
from tests.unit.store.stored import MAP, TERM, written
from zraft.core.integrity import verify_state
from zraft.core.keyspace import Keyspace
from zraft.core.records import pack_write, record_key
from zraft.errors import CorruptState
from zraft.protocol import codec
from zraft.protocol.entries import NO_ORIGIN, Entry, EntryId, EntryKind
from zraft.protocol.requests import Compact, Delete, Put
from zraft.store.state import LmdbState

Change = Callable[["lmdb.Transaction[bytes]", "lmdb._Database", "lmdb._Database"], object]
AT = record_key(3, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "node", 5, 5).state_path(0)


def verify(path: Path) -> EntryId:
    state = LmdbState(path, MAP)
    try:
        return verify_state(state).applied
    finally:
        state.abort()
        state.close()


def flipped(data: bytes | None) -> bytes:
    assert data is not None
    return bytes([data[0] ^ 1]) + data[1:]


def test_a_sound_state_passes(path: Path) -> None:
    assert verify(path) == EntryId(5, TERM)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda txn, keys, records: txn.put(AT, flipped(txn.get(AT, db=records)), db=records), "revision 3/0"),
        (lambda txn, keys, records: txn.put(b"key 3", flipped(txn.get(b"key 3", db=keys)), db=keys), "key b'key 3'"),
        (lambda txn, keys, records: txn.delete(AT, db=records), "digest"),
        (lambda txn, keys, records: txn.delete(b"key 3", db=keys), "of 5 keys, and there are 4 index entries"),
        (lambda txn, keys, records: txn.put(record_key(9, 0), txn.get(AT, db=records), db=records), "revision 9/0"),
    ],
)
def test_what_is_damaged_missing_or_misplaced_is_found(path: Path, change: Change, says: str) -> None:
    with lmdb.open(str(path), max_dbs=8, map_size=MAP) as env:
        keys, records = env.open_db(b"keys"), env.open_db(b"records")
        with env.begin(write=True) as txn:
            change(txn, keys, records)
    with pytest.raises(CorruptState, match=says):
        verify(path)


def test_an_index_entry_that_was_never_replaced_is_found(path: Path) -> None:
    # Sound by itself: a page that the disk took, and did not write.
    stale, _, _ = pack_write(3, 3, 1, 0, 0, 0, b"key 3", b"")
    state = LmdbState(path, MAP)
    assert state.key(b"key 3") == stale
    keyspace = Keyspace(state)
    payload = codec.pack_commands([codec.encode(Put(b"key 3", b"newer"))])
    for _ in keyspace.apply(Entry(keyspace.applied.index + 1, TERM, EntryKind.COMMANDS, NO_ORIGIN, payload)):
        pass
    keyspace.commit()
    state.set_keys([(b"key 3", stale)])
    state.commit()
    state.close()
    with pytest.raises(CorruptState, match="an index entry is out of date"):
        verify(path)


@given(st.lists(st.tuples(st.sampled_from("pdc"), st.integers(1, 4)), max_size=40))
def test_whatever_was_written_deleted_and_compacted_passes(commands: list[tuple[str, int]]) -> None:
    state = MemoryState()
    keyspace = Keyspace(state)
    for index, (kind, number) in enumerate(commands, 1):
        revision = max(0, keyspace.revision - number)
        command = {"p": Put(b"%d" % number, b"v"), "d": Delete(b"%d" % number), "c": Compact(revision)}[kind]
        payload = codec.pack_commands([codec.encode(command)])
        for _ in keyspace.apply(Entry(index, 1, EntryKind.COMMANDS, NO_ORIGIN, payload)):
            pass
        keyspace.commit()
        assert verify_state(state).revision == keyspace.revision
