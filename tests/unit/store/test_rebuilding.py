"""A state that is rebuilt from a snapshot and the log behind it, and a start that is refused where there is a gap."""

import gc
import shutil
from pathlib import Path

import pytest

from tests.unit.store.machine import (
    LAST,
    MAP_SIZE,
    MEMBER,
    NEVER_APPLIED,
    Killed,
    Machine,
    facts,
    kill,
    moments,
    run_killed_at,
    value,
)
from zraft.core.acceptor import Acceptor
from zraft.core.applier import Applier
from zraft.errors import StorageFault
from zraft.protocol.entries import EntryId, EntryKind, encode_entry
from zraft.store import recovery, space
from zraft.store.log import LmdbLog
from zraft.store.recovery import Stores
from zraft.store.snapshots import make_snapshot
from zraft.store.state import LmdbState

CUT = 2
SNAPSHOT = EntryId(CUT, 1)
POWER_CUT = "the last stop was not clean, and the page cache did not live on"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "data", monkeypatch)


def snapshot(machine: Machine, applied: int, cut: int = 0) -> Path:
    """Three entries, of which some are applied and in a snapshot, and some cut; the process is killed."""
    stores = machine.open_and_apply(applied)
    kill(stores)
    directory = machine.directory
    path, _ = make_snapshot(directory.state_path(0), directory.snapshots_path, MAP_SIZE, stores.log.record, 0.0)
    log = LmdbLog(directory.log_path, MEMBER, MAP_SIZE)
    log.cut(cut)
    log.commit()
    log.close()
    return path


def cut(machine: Machine) -> Path:
    """Two of three entries are applied, in a snapshot and cut."""
    return snapshot(machine, CUT, CUT)


def state_of_before_the_log(machine: Machine) -> Path:
    """One entry is applied, and two are cut; returns a state that has applied both, under another name."""
    kill(machine.open_and_apply(1))
    old, newer = (machine.directory.path.with_name(name) for name in ("old", "newer"))
    shutil.copytree(machine.directory.state_path(0), old)
    shutil.rmtree(machine.directory.path)
    machine.directory.path.mkdir()
    cut(machine)
    machine.directory.state_path(0).rename(newer)
    old.rename(machine.directory.state_path(0))
    return newer


def damage(path: Path, at: int = 5_000) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def is_whole(stores: Stores) -> bool:
    """Whether it has just what the snapshot has, and the log has the rest; it is closed."""
    found = [value(stores, key) for key in (b"1", b"2", b"3")]
    rest = stores.log.entries(CUT + 1, 1 << 20)
    return (facts(stores)[1], found, len(rest)) == (SNAPSHOT, [b"v", b"v", None], 1)


def test_a_state_that_goes_on_needs_no_snapshot(machine: Machine) -> None:
    cut(machine).unlink()
    assert facts(machine.open()) == (0, SNAPSHOT, "")


def test_after_a_power_cut_the_state_begins_as_the_snapshot(machine: Machine) -> None:
    cut(machine)
    for generation in (1, 2):
        machine.boot += 1
        stores = machine.open()
        assert (stores.generation, stores.rebuilt) == (generation, POWER_CUT)
        assert is_whole(stores)
        assert machine.states() == [f"state.{generation}"]
    assert is_whole(machine.open())


def test_a_state_that_is_gone_begins_as_the_snapshot(machine: Machine) -> None:
    cut(machine)
    shutil.rmtree(machine.directory.state_path(0))
    assert is_whole(machine.open())


def test_a_state_of_before_the_log_begins_is_given_up(machine: Machine) -> None:  # trap 24
    state_of_before_the_log(machine)
    stores = machine.open()
    assert stores.rebuilt == "the state has applied 1/1, and the log begins behind 2/1"
    assert is_whole(stores)


def test_what_an_installation_left_never_passes_for_the_rebuilt_state(machine: Machine) -> None:
    """The page cache has lived on, so that nothing but its absence keeps a torn state from being used."""
    newer = state_of_before_the_log(machine)
    torn = LmdbState(newer, MAP_SIZE)
    torn.set_keys([(b"3", b"lie")])
    torn.commit()
    torn.close()
    newer.rename(machine.directory.state_path(1))
    begin_anew = machine.template()

    def killed_at(line: int) -> bool:
        begin_anew()
        killed = run_killed_at(line, machine.open)
        stores = machine.open()
        assert stores.state.key(b"3") is None
        stores.state.abort()
        assert is_whole(stores)
        return killed

    assert moments(killed_at) > 30


def test_the_newest_sound_snapshot_is_taken(machine: Machine) -> None:  # traps 25, 29
    older = snapshot(machine, 1)
    stores = machine.open()
    acceptor = Acceptor(stores.log, 1)
    acceptor.commit = CUT
    Applier(stores.log, stores.state, acceptor).work(lambda: False)
    kill(stores)
    newer, _ = make_snapshot(machine.directory.state_path(0), older.parent, MAP_SIZE, None, 0.0)
    machine.boot += 1
    assert facts(machine.open())[1] == SNAPSHOT
    damage(newer)
    machine.boot += 1
    assert facts(machine.open())[1] == EntryId(1, 1)


def test_a_log_that_has_it_all_needs_no_snapshot(machine: Machine) -> None:
    damage(snapshot(machine, LAST.index))
    machine.boot += 1
    assert facts(machine.open()) == (1, NEVER_APPLIED, POWER_CUT)


@pytest.mark.parametrize("how", ["gone", "damaged", "short"])
def test_without_state_and_snapshot_a_cut_log_is_refused_at_every_start(machine: Machine, how: str) -> None:
    path = cut(machine)  # traps 24, 28, 29
    machine.boot += 1
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "damaged":
        damage(path)
    else:
        path.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        refusal = machine.refusal()
        assert "begins behind 2/1 only" in refusal
        assert "Put the very same data back" in refusal
        assert machine.states() == ["state.0"]
    path.write_bytes(whole)
    assert is_whole(machine.open())


def test_a_snapshot_of_before_the_log_begins_leaves_a_gap(machine: Machine) -> None:  # trap 24
    snapshot(machine, 1, CUT)
    machine.boot += 1
    refusal = machine.refusal()
    assert "begins behind 2/1 only" in refusal
    assert "ends at 1/1" in refusal


def test_a_snapshot_of_another_history_is_not_taken(machine: Machine) -> None:  # trap 18
    snapshot(machine, LAST.index)
    log = LmdbLog(machine.directory.log_path, MEMBER, MAP_SIZE)
    log.truncate(3)
    log.append(3, [encode_entry(3, 2, EntryKind.EMPTY)])
    log.commit()
    log.close()
    machine.boot += 1
    assert facts(machine.open()) == (1, NEVER_APPLIED, POWER_CUT)


def test_leftovers_go_at_the_start_but_not_what_a_peer_was_sending(machine: Machine) -> None:
    path = cut(machine)
    for name in ("making.123", "incoming.abc"):
        path.with_name(name).write_bytes(b"half")
    kill(machine.open())
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, "incoming.abc"]


def test_a_kill_at_any_moment_of_a_rebuild_ends_with_all_of_it(machine: Machine) -> None:  # traps 23, 24
    cut(machine)
    begin_anew = machine.template()

    def killed_at(line: int) -> bool:
        machine.boot += 1
        begin_anew()
        killed = run_killed_at(line, machine.open)
        assert is_whole(machine.open())
        assert len(machine.states()) == 1
        return killed

    assert moments(killed_at) > 30


@pytest.mark.parametrize("clean", [False, True], ids=["after a power cut", "after a clean stop"])
def test_a_second_power_cut_at_any_moment_of_a_rebuild_is_as_harmless(machine: Machine, clean: bool) -> None:
    cut(machine)  # traps 23, 24
    if clean:
        machine.open().close_cleanly()
        shutil.rmtree(machine.directory.state_path(0))
    begin_anew = machine.template()

    def killed_at(line: int) -> bool:
        machine.boot += 1
        begin_anew()
        before = set(machine.directory.path.glob("state.*"))
        killed = run_killed_at(line, machine.open)
        # What was copied was never synced: it may be all zeros.
        for state in set(machine.directory.path.glob("state.*")) - before:
            for file in state.glob("data.mdb"):
                file.write_bytes(bytes(file.stat().st_size))
        machine.boot += 1
        assert is_whole(machine.open())
        return killed

    assert moments(killed_at) > 30


def test_a_snapshot_becomes_the_state_in_one_step(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(machine)  # trap 23
    machine.boot += 1

    def copy_half(source: Path, to: Path, worst: int) -> None:
        to.write_bytes(source.read_bytes()[:8192])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "copy_file", copy_half)
        with pytest.raises(Killed):
            machine.open()
    gc.collect()
    assert not machine.directory.state_path(1).exists()
    assert is_whole(machine.open())


def test_a_start_for_which_there_is_no_room_leaves_the_disk_as_it_was(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other nodes may write to it as well; and it is tried again, for as long as it takes."""
    cut(machine)
    machine.boot += 1
    total = 100 << 20
    with monkeypatch.context() as patch:
        patch.setattr(space, "disk", lambda _: (total // 40, total))
        with pytest.raises(StorageFault, match="no room left for a copy"):
            machine.open()
    gc.collect()
    assert machine.states() == []  # nor a part of it: the state of before was given up already
    assert is_whole(machine.open())
