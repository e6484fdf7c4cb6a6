"""What only the state on LMDB has to show: other processes see it, killed readers, and room that runs out."""

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from tests.unit.store.viewing import Viewer
from zraft.core.records import record_key
from zraft.core.versions import SUPPORTED
from zraft.errors import CorruptState, IdentityRefused, OutOfSpace, StorageFault, Unavailable
from zraft.store import environment
from zraft.store.state import LmdbState, StateView, _Writing

MAP_SIZE = 1 << 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.1"


def test_a_state_of_a_newer_format_is_refused(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    state.set_meta(b"format", b"\x09")
    state.commit()
    state.close()
    with pytest.raises(
        IdentityRefused, match=f"is of format 9, that of cluster version 8, .* knows only up to {SUPPORTED}[.]"
    ):
        LmdbState(path, MAP_SIZE)


def test_a_build_of_lmdb_for_shorter_keys_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "KEY_BYTES_MIN", 512)
    with pytest.raises(StorageFault, match="keys of 511 bytes, and zraft needs 512"):
        LmdbState(path, MAP_SIZE)


def test_a_full_map_is_told_and_an_abort_makes_room(path: Path) -> None:
    state = LmdbState(path, 1 << 20)
    state.set_keys([(b"a", b"1")])
    state.commit()
    state.set_keys([(b"a", b"2")])
    with pytest.raises(OutOfSpace, match="no space left"):
        state.append_records([(record_key(1, 0), bytes(2 << 20))])
    state.abort()
    assert (state.key(b"a"), state.record(record_key(1, 0))) == (b"1", None)
    state.append_records([(record_key(1, 0), bytes(1 << 16))])
    state.commit()
    state.close()


def test_a_full_map_is_told_by_every_write(path: Path) -> None:
    large = bytes(2 << 20)
    state = LmdbState(path, 1 << 20)
    with pytest.raises(OutOfSpace):
        state.set_keys([(b"a", b"1"), (b"b", large)])
    state.abort()
    with pytest.raises(OutOfSpace):
        state.set_meta(b"a", large)
    state.close()


def test_a_commit_after_a_refused_write_is_refused(path: Path) -> None:
    state = LmdbState(path, 1 << 20)
    state.set_keys([(b"a", b"1")])
    with pytest.raises(OutOfSpace):
        state.set_keys([(b"b", bytes(2 << 20))])
    with pytest.raises(StorageFault):
        state.commit()
    assert state.key(b"a") is None
    state.close()


def test_the_state_tells_its_size(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    empty = state.size_bytes
    state.append_records([(record_key(1, 0), bytes(1 << 20))])
    assert 1 << 20 < state.size_bytes - empty < 2 << 20
    state.commit()
    assert state.size_bytes <= state.map_used_bytes < 2 << 20
    state.close()


def test_a_synced_state_is_found_again(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    state.set_keys([(b"a", b"1")])
    state.commit()
    state.sync()
    state.close()
    state = LmdbState(path, MAP_SIZE)
    assert state.key(b"a") == b"1"
    state.close()


def test_another_process_sees_a_commit_at_once_and_without_a_sync(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    with Viewer(path, MAP_SIZE) as viewer:
        for value in (b"1", b"2"):
            viewer.begin()
            before = viewer.key(b"a")
            state.set_keys([(b"a", value)])
            viewer.begin()
            assert viewer.key(b"a") == before
            state.commit()
            assert viewer.key(b"a") == before
            viewer.begin()
            assert viewer.key(b"a") == value
    state.close()


def test_a_killed_reader_is_cleared_away(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    with Viewer(path, MAP_SIZE) as killed, Viewer(path, MAP_SIZE) as alive:
        killed.begin()
        alive.begin()
        assert state.reader_check() == 0
        killed.kill()
        assert state.reader_check() == 1
        assert state.reader_check() == 0
        assert alive.key(b"a") is None
    state.close()


def test_a_view_of_a_state_that_is_not_there_is_unavailable(path: Path) -> None:
    with pytest.raises(Unavailable, match="can't be opened"):
        StateView(path, MAP_SIZE)


def test_a_view_of_a_state_without_tables_is_unavailable(path: Path) -> None:
    path.mkdir()
    lmdb.open(str(path), map_size=MAP_SIZE).close()
    with pytest.raises(Unavailable, match="can't be read yet"):
        StateView(path, MAP_SIZE)


def test_a_view_is_opened_anew_on_the_next_generation(tmp_path: Path) -> None:
    for generation, value in ((1, b"old"), (2, b"new")):
        state = LmdbState(tmp_path / f"state.{generation}", MAP_SIZE)
        state.set_keys([(b"a", value)])
        state.commit()
        state.close()
    old = StateView(tmp_path / "state.1", MAP_SIZE)
    for file in (tmp_path / "state.1").iterdir():
        file.unlink()
    with old.begin() as snapshot:
        assert snapshot.key(b"a") == b"old"
    old.close()
    new = StateView(tmp_path / "state.2", MAP_SIZE)
    with new.begin() as snapshot:
        assert snapshot.key(b"a") == b"new"
    new.close()


def test_values_outlive_their_snapshot(path: Path) -> None:
    state = LmdbState(path, MAP_SIZE)
    state.set_keys([(b"a", b"1")])
    state.append_records([(record_key(1, 0), b"r")])
    state.commit()
    state.close()
    view = StateView(path, MAP_SIZE)
    with view.begin() as snapshot:
        read = [snapshot.key(b"a"), snapshot.record(record_key(1, 0)), *snapshot.keys_from(b"")]
    view.close()
    assert read == [b"1", b"r", (b"a", b"1")]


def test_several_snapshots_may_be_open_at_once(path: Path) -> None:
    LmdbState(path, MAP_SIZE).close()
    view = StateView(path, MAP_SIZE)
    with view.begin() as first, view.begin() as second:
        assert (first.key(b"a"), second.key(b"a")) == (None, None)
    view.close()


@pytest.mark.parametrize("kind", [lmdb.CorruptedError, lmdb.PageNotFoundError])
@pytest.mark.parametrize("read", ["key", "keys_from", "record", "records_from", "meta"])
def test_damage_that_lmdb_finds_is_damage_whatever_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, read: str, kind: type[lmdb.Error]
) -> None:
    """A sweep reads in other ways than a put: what it comes upon must not look like a crash, which is tried again."""

    def damaged(*_: object) -> Iterator[tuple[bytes, bytes]]:
        raise kind("a page")
        yield b"", b""

    state = LmdbState(path, MAP_SIZE)
    state.set_keys([(b"a", b"1")])
    for name in ("get", "record", "meta"):
        monkeypatch.setattr(_Writing, name, lambda *_: next(damaged()), raising=False)
    for name in ("keys_from", "records_from"):
        monkeypatch.setattr(_Writing, name, damaged, raising=False)
    monkeypatch.setattr(state, "_writing", object.__new__(_Writing))
    with pytest.raises(CorruptState, match="LMDB can't read it"):
        list(getattr(state, read)(b"a") or ())
