"""What storage tells of its stores, looked up now and then."""

from pathlib import Path

from zraft.actors.holdings import TAKE_SECONDS, Inventory
from zraft.protocol.entries import NO_ORIGIN, EntryKind, encode_entry
from zraft.protocol.local import Holdings
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

MAP_SIZE = 1 << 30


def test_stock_is_taken_now_and_then(tmp_path: Path) -> None:
    now = 10.0
    log, state = LmdbLog(tmp_path / "log", 1, MAP_SIZE), LmdbState(tmp_path / "state", MAP_SIZE)
    snapshot, installing = (0, 0), (0, 0)
    inventory = Inventory(log, state, lambda: snapshot, lambda: installing, lambda: now)
    empty = inventory.taken()
    assert empty == Holdings(log_bytes=log.size_bytes, state_bytes=state.size_bytes)
    log.append(1, [encode_entry(1, 1, EntryKind.COMMANDS, NO_ORIGIN, bytes(1 << 20))])
    log.commit()
    state.set_keys([(b"k", b"v")])  # counts before it is committed, too
    snapshot, installing = (4, 50), (6, 70)
    now += TAKE_SECONDS / 2
    assert inventory.taken() is empty
    now += TAKE_SECONDS / 2
    assert inventory.taken() == Holdings(4, log.size_bytes, state.size_bytes, 50, 6, 70)
    assert log.size_bytes > 1 << 20
    assert state.size_bytes > empty.state_bytes
    state.abort()
    state.close()
    log.close()
