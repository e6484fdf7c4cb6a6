"""A snapshot that comes in, on a real disk: pieces, checks, the one step that counts, and a kill at any line of it."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import pytest

from tests.unit.store.machine import LAST, MAP_SIZE, Machine, kill, moments, run_killed_at, value
from zraft.actors import installing
from zraft.actors.installing import Installing, remove_replaced
from zraft.actors.logs import Logger
from zraft.core.acceptor import Acceptor
from zraft.core.applier import Applier
from zraft.core.streaming import CHUNK_BYTES
from zraft.errors import CorruptSnapshot
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, encode_entry
from zraft.protocol.peer import DAMAGED, InstallAnswer, InstallSnapshot, SnapshotId
from zraft.protocol.requests import Put
from zraft.store import files
from zraft.store.chunks import SnapshotFile, identify, newest_snapshot
from zraft.store.journal import JOURNAL_FILE
from zraft.store.log import LmdbLog
from zraft.store.recovery import Stores
from zraft.store.snapshots import list_incoming, list_snapshots, make_snapshot, snapshot_path
from zraft.store.soundness import scan_state
from zraft.store.state import LmdbState

ENTRIES = 40
TERM = 2


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread's work is done by whoever starts it, so that a kill can strike there."""

    class Thread:
        def __init__(self, target: Callable[..., None], args: tuple[object, ...] = (), **_: object) -> None:
            self._target, self._args = target, args

        def start(self) -> None:
            self._target(*self._args)

        def join(self) -> None:
            """It has ended."""

    monkeypatch.setattr(threading, "Thread", Thread)
    monkeypatch.setattr(installing, "verify_state", scan_state)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A follower with three entries, all applied."""
    machine = Machine(tmp_path / "data", monkeypatch)
    kill(machine.open_and_apply())
    return machine


@pytest.fixture
def offered(tmp_path: Path) -> Iterator[SnapshotFile]:
    """A leader's snapshot of forty entries."""
    file = offer(tmp_path)
    yield file
    file.close()


def offer(tmp_path: Path, format: int = 2) -> SnapshotFile:
    """That of a leader whose state is of this format."""
    with pytest.MonkeyPatch.context() as patch:  # its power is another one's
        leader = Machine(tmp_path / "leader", patch)
        stores = leader.open()
    payloads = [pack_commands([encode(Put(b"%d" % index, b"w" * 8_000))]) for index in range(1, ENTRIES + 1)]
    stores.log.append(1, [encode_entry(i, TERM, EntryKind.COMMANDS, NO_ORIGIN, p) for i, p in enumerate(payloads, 1)])
    stores.log.commit()
    acceptor = Acceptor(stores.log)
    acceptor.commit = ENTRIES
    Applier(stores.log, stores.state, acceptor).work(lambda: False)
    stores.state.set_meta(b"format", bytes([format]))
    stores.state.commit()
    state, snapshots = leader.directory.state_path(0), leader.directory.snapshots_path
    kill(stores)
    path, _ = make_snapshot(state, snapshots, MAP_SIZE, None, 0.0)
    return SnapshotFile(path, identify(path))


def piece(offered: SnapshotFile, offset: int, size: int = CHUNK_BYTES) -> InstallSnapshot:
    data = offered.read(offset, min(size, offered.snapshot.size - offset)) if size else b""
    return InstallSnapshot(TERM, offered.snapshot, offset, google_crc32c.value(data), data)


def receive(machine: Machine, stores: Stores, offered: SnapshotFile) -> Stores:
    """Ask, stream from what is held, and install."""
    receiver = Installing(machine.directory, Logger("node", "storage"))
    acceptor = Acceptor(stores.log, stores.applied.index)
    (answer,) = receiver.on_chunk(piece(offered, 0, 0), TERM, stores.generation, None).answers
    while answer.offset < offered.snapshot.size:
        (answer,) = receiver.on_chunk(piece(offered, answer.offset), TERM, stores.generation, None).answers
    ready = receiver.finished(TERM).ready
    assert ready is not None
    taken = receiver.take_over(stores, acceptor, ready, MAP_SIZE)
    receiver.close()
    return taken or stores


def is_installed(stores: Stores, snapshot: SnapshotId) -> bool:
    """All of it, or nothing."""
    if stores.applied.index == ENTRIES:
        assert value(stores, b"40") == b"w" * 8_000
        assert stores.log.base == stores.log.last == EntryId(ENTRIES, TERM)
        return True
    assert (stores.applied.index, stores.log.last, value(stores, b"3")) in (
        (LAST.index, LAST, b"v"),
        (0, LAST, None),  # after a power cut: the log fills it
    )
    return False


def test_a_snapshot_takes_the_place_of_log_and_state(machine: Machine, offered: SnapshotFile) -> None:
    stores = receive(machine, machine.open(), offered)
    assert is_installed(stores, offered.snapshot)
    assert newest_snapshot(machine.directory.snapshots_path) == offered.snapshot
    kill(stores)
    stores = machine.open()
    assert (is_installed(stores, offered.snapshot), stores.generation, stores.rebuilt) == (True, 1, "")
    assert machine.states() == ["state.1"]
    kill(stores)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_log_takes_the_format_of_the_state_that_was_installed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """So that it has a journal from then on. One whose log was made by older code takes it at the next start."""
    journal = machine.directory.log_path / JOURNAL_FILE
    offered = offer(tmp_path, format=3)
    with monkeypatch.context() as patched:
        if restarted:
            patched.setattr(LmdbLog, "take_format", lambda log, number: None)
        stores = receive(machine, machine.open(), offered)
        assert is_installed(stores, offered.snapshot)
        assert journal.exists() != restarted
        kill(stores)
    stores = machine.open()
    assert journal.exists()
    kill(stores)
    offered.close()


def test_a_snapshot_of_a_newer_cluster_version_is_refused_in_words(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is whole and sound: another one would be no better, and what is here stays as it is."""
    offered, stores = offer(tmp_path, format=9), machine.open()
    receiver = Installing(machine.directory, Logger("node", "storage"))
    (answer,) = receiver.on_chunk(piece(offered, 0, 0), TERM, stores.generation, None).answers
    while answer.offset < offered.snapshot.size:
        (answer,) = receiver.on_chunk(piece(offered, answer.offset), TERM, stores.generation, None).answers
    assert receiver.finished(TERM) == ([], None)
    receiver.close()
    offered.close()
    assert "is of format 9, that of cluster version 8" in str(vars(caplog.records[-1]))
    assert machine.states() == ["state.0"]
    assert not is_installed(stores, offered.snapshot)
    kill(stores)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("written", "lines"),
    [(None, 2), (1.0, 6), (0.0, 3), (0.5, 6)],
    ids=["kill", "power cut, state written", "power cut, state not written", "power cut, state half written"],
)
def test_a_kill_at_any_moment_leaves_all_of_it_or_nothing(
    machine: Machine, offered: SnapshotFile, written: float | None, lines: int
) -> None:
    data, template = machine.directory.path, machine.directory.path.with_name("template")
    data.rename(template)
    seen = set()

    def killed_at(moment: int) -> bool:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(template, data)
        stores = machine.open()
        killed = run_killed_at(moment * lines, lambda: receive(machine, stores, offered), installing)
        if killed:
            kill(stores)
        if written is not None:
            for state in data.glob("state.[1-9]*/data.mdb"):  # not durable: so much of it happened to get to the disk
                if written < 1:  # of what was copied: there are as many zeros behind it as the file has grown by
                    os.truncate(state, int(offered.snapshot.size * written))
            machine.boot += 1
        stores = machine.open()
        done = is_installed(stores, offered.snapshot)
        assert done or not list_snapshots(machine.directory.snapshots_path)  # nothing is cut behind it
        seen.add(done)
        if not done:
            stores = receive(machine, stores, offered)
        assert is_installed(stores, offered.snapshot)
        kill(stores)
        return killed

    assert moments(killed_at) > 20
    assert seen == {True, False}


def test_an_interrupted_stream_goes_on_and_what_is_staged_of_others_goes(
    machine: Machine, offered: SnapshotFile
) -> None:
    snapshots = machine.directory.snapshots_path
    first = Installing(machine.directory, Logger("node", "storage"))
    first.on_chunk(piece(offered, 0, 0), TERM, 0, None)
    first.on_chunk(piece(offered, 0), TERM, 0, None)
    last = offered.snapshot.index
    assert first.progress(applied=last - 1) == (CHUNK_BYTES, offered.snapshot.size)
    assert first.progress(applied=last) == (0, 0)  # another leader had the entries
    first.close()
    (snapshots / "incoming.00").write_bytes(b"of another")
    second = Installing(machine.directory, Logger("node", "storage"))
    (answer,) = second.on_chunk(piece(offered, 0, 0), TERM, 0, None).answers
    assert answer == InstallAnswer(TERM, offered.snapshot, CHUNK_BYTES)
    assert len(list(snapshots.glob("incoming.*"))) == 1
    second.close()


def test_a_snapshot_that_was_damaged_is_removed_and_told(machine: Machine, offered: SnapshotFile) -> None:  # trap 30
    receiver = Installing(machine.directory, Logger("node", "storage"))
    receiver.on_chunk(piece(offered, 0, 0), TERM, 0, None)
    for offset in range(0, offered.snapshot.size, CHUNK_BYTES):
        good = piece(offered, offset)
        data = bytes([good.data[0] ^ 1]) + good.data[1:]
        receiver.on_chunk(InstallSnapshot(TERM, good.snapshot, offset, google_crc32c.value(data), data), TERM, 0, None)
    outcome = receiver.finished(TERM)
    assert outcome.answers == [InstallAnswer(TERM, offered.snapshot, 0, reason=DAMAGED)]
    assert outcome.ready is None
    assert list(machine.directory.snapshots_path.iterdir()) == []
    receiver.close()


def test_a_sender_never_hands_a_damaged_piece_on(tmp_path: Path, offered: SnapshotFile) -> None:  # trap 30
    path = offered._path
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    path.write_bytes(data)
    file = SnapshotFile(path, offered.snapshot)
    with pytest.raises(CorruptSnapshot, match="is damaged: the MiB from 0 on"):
        file.read(0, 10)
    file.close()
    with pytest.raises(CorruptSnapshot, match="another snapshot"):
        SnapshotFile(path, SnapshotId(ENTRIES, TERM, 5, b""))


def postponed(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What is to be removed in the background, and stays until this is called."""
    later: list[Callable[[], None]] = []
    thread = SimpleNamespace(Thread=lambda target, **_: SimpleNamespace(start=lambda: later.append(target)))
    monkeypatch.setattr(files, "threading", thread)
    return later


def test_what_an_installation_replaces_has_no_name_while_it_goes(
    machine: Machine, offered: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A snapshot that is made meanwhile takes their names from all older ones, and would not find one that is just gone.
    directory = machine.directory.snapshots_path
    directory.mkdir()
    newest = snapshot_path(directory, offered.snapshot.index)
    for path in (snapshot_path(directory, 3), newest):
        path.write_bytes(b"a snapshot")
    later = postponed(monkeypatch)
    remove_replaced(machine.directory, 0, offered.snapshot)
    assert list_snapshots(directory) == [newest]
    assert later
    for remove in later:
        remove()
    assert (list(directory.iterdir()), machine.states()) == ([newest], [])


def test_a_node_that_caught_up_meanwhile_keeps_its_state(
    machine: Machine, offered: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = machine.open()
    receiver = Installing(machine.directory, Logger("node", "storage"))
    receiver.on_chunk(piece(offered, 0, 0), TERM, 0, None)
    for offset in range(0, offered.snapshot.size, CHUNK_BYTES):
        receiver.on_chunk(piece(offered, offset), TERM, 0, None)
    ready = receiver.finished(TERM).ready
    assert ready is not None
    acceptor = Acceptor(stores.log, stores.applied.index)
    acceptor.commit = ENTRIES
    later = postponed(monkeypatch)
    assert receiver.take_over(stores, acceptor, ready, MAP_SIZE) is None
    assert isinstance(stores.state, LmdbState)
    assert stores.log.last == LAST
    # The next installation has the same names: they are free before the bytes are gone.
    assert not machine.directory.state_path(ready.generation).exists()
    assert list_incoming(machine.directory.snapshots_path) == []
    assert later
    for remove in later:
        remove()
    assert machine.states() == ["state.0"]
    assert list(machine.directory.snapshots_path.iterdir()) == []
    receiver.close()
    kill(stores)


def test_nothing_is_received_into_the_reserve_of_the_disk(
    machine: Machine, offered: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    free = False

    def has_room(_: Path, size: int) -> bool:
        asked.append(size)
        return free

    monkeypatch.setattr(installing, "has_room", has_room)
    receiver = Installing(machine.directory, Logger("node", "storage"))
    assert receiver.on_chunk(piece(offered, 0, 0), TERM, 0, None).answers == []
    assert asked == [2 * offered.snapshot.size]  # the file, and the state that is made of it
    free = True
    (answer,) = receiver.on_chunk(piece(offered, 0, 0), TERM, 0, None).answers
    assert answer == InstallAnswer(TERM, offered.snapshot, 0)
    receiver.close()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("a bug"), MemoryError()])
def test_a_state_that_could_not_be_made_leaves_nothing_behind(
    machine: Machine, offered: SnapshotFile, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong: what was not checked to its end is not installed."""

    def fail(_: Path, to: Path, worst: int) -> None:
        to.write_bytes(b"a part of it")
        raise error

    monkeypatch.setattr(installing, "copy_file", fail)
    receiver = Installing(machine.directory, Logger("node", "storage"))
    receiver.on_chunk(piece(offered, 0, 0), TERM, 0, None)
    for offset in range(0, offered.snapshot.size, CHUNK_BYTES):
        receiver.on_chunk(piece(offered, offset), TERM, 0, None)
    assert receiver.finished(TERM) == ([], None)
    assert machine.states() == ["state.0"]
    receiver.close()


def test_what_the_disk_refused_to_keep_comes_once_more_from_the_beginning(
    machine: Machine, offered: SnapshotFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync a second one succeeds, and the page cache has what the disk has not (S13)."""
    stores = machine.open()
    receiver = Installing(machine.directory, Logger("node", "storage"))

    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr(installing, "sync_file", refuse)
        (answer,) = receiver.on_chunk(piece(offered, 0, 0), TERM, stores.generation, None).answers
        while answer.offset < offered.snapshot.size:
            (answer,) = receiver.on_chunk(piece(offered, answer.offset), TERM, stores.generation, None).answers
        assert receiver.finished(TERM) == ([], None)
    (answer,) = receiver.on_chunk(piece(offered, 0, 0), TERM, stores.generation, None).answers
    assert (answer.offset, answer.installed) == (0, False)
    receiver.close()
    assert is_installed(receive(machine, stores, offered), offered.snapshot)


def test_what_is_left_of_a_stream_goes_when_the_node_has_come_on_without_it(
    machine: Machine, offered: SnapshotFile
) -> None:
    stores = machine.open()
    for applied in (ENTRIES, 3):  # of this process, and of one before
        receiver = Installing(machine.directory, Logger("node", "storage"))
        receiver.on_chunk(piece(offered, 0, 0), TERM, stores.generation, None)
        receiver.on_chunk(piece(offered, 0), TERM, stores.generation, None)
        receiver.tidy(ENTRIES - 1)  # it is still ahead, and may be gone on with
        assert list_incoming(machine.directory.snapshots_path)
        if applied < ENTRIES:
            receiver.close()
            receiver = Installing(machine.directory, Logger("node", "storage"))
        receiver.tidy(applied)
        assert (list(machine.directory.snapshots_path.iterdir()), receiver.progress(0)) == ([], (0, 0))
        receiver.close()
    kill(stores)
