"""Opening a node's stores: when the applied state is used again, given up, or held against the log."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.store.machine import (
    LAST,
    MAP_SIZE,
    MEMBER,
    NEVER_APPLIED,
    Machine,
    facts,
    kill,
    moments,
    run_killed_at,
    value,
)
from zraft.core.records import APPLIED
from zraft.errors import IdentityRefused, StorageFault
from zraft.protocol.entries import EntryId, EntryKind, encode_entry
from zraft.store.dirty import Mark
from zraft.store.recovery import Stores
from zraft.store.state import LmdbState


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "data", monkeypatch)


# --- a state that goes on


def test_a_fresh_directory_gets_a_log_and_an_empty_state(machine: Machine) -> None:
    stores = machine.open()
    assert (stores.log.member, stores.log.created) == (MEMBER, True)
    assert facts(stores) == (0, NEVER_APPLIED, "")
    assert (machine.states(), machine.mark()) == (["state.0"], Mark.SAME_BOOT)


def test_a_clean_stop_keeps_the_state_over_any_power_cut(machine: Machine) -> None:
    machine.open_and_apply().close_cleanly()
    assert machine.mark() is Mark.CLEAN
    machine.boot += 1
    stores = machine.open()
    assert value(stores, b"3") == b"v"
    assert facts(stores) == (0, LAST, "")
    assert machine.mark() is Mark.SAME_BOOT


def test_what_was_not_committed_is_no_part_of_a_clean_stop(machine: Machine) -> None:
    stores = machine.open_and_apply()
    stores.state.set_keys([(b"half", b"done")])
    stores.close_cleanly()
    stores = machine.open()
    assert value(stores, b"half") is None
    kill(stores)


def test_a_killed_process_loses_nothing(machine: Machine) -> None:
    kill(machine.open_and_apply(entries=2))
    assert machine.mark() is Mark.SAME_BOOT
    assert facts(machine.open()) == (0, EntryId(2, 1), "")


# --- a state that is given up


def test_after_a_power_cut_the_state_is_filled_from_the_log_anew(machine: Machine) -> None:
    kill(machine.open_and_apply())
    for generation in (1, 2):
        machine.boot += 1
        assert machine.mark() is Mark.MISMATCH
        stores = machine.open()
        assert stores.log.last == LAST
        assert value(stores, b"1") is None
        why = "the last stop was not clean, and the page cache did not live on"
        assert facts(stores) == (generation, NEVER_APPLIED, why)
        assert machine.states() == [f"state.{generation}"]
    assert facts(machine.open()) == (2, NEVER_APPLIED, "")


def test_a_state_that_could_not_be_synced_at_the_stop_is_not_used_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13's reason holds here as well: the page cache may drop what could not be written."""

    def fail(state: LmdbState) -> None:
        raise StorageFault("EIO")

    stores = machine.open_and_apply()
    monkeypatch.setattr(LmdbState, "sync", fail)
    with pytest.raises(StorageFault, match="EIO"):
        stores.close_cleanly()
    kill(stores)
    assert machine.mark() is not Mark.CLEAN
    assert facts(machine.open()) == (1, NEVER_APPLIED, "")
    assert machine.states() == ["state.1"]


def test_what_other_generations_left_is_removed(machine: Machine) -> None:
    kill(machine.open_and_apply())
    for name in ("state.7", "state.8"):
        (machine.directory.path / name).mkdir()
    (machine.directory.path / "note").touch()
    assert facts(machine.open()) == (0, LAST, "")
    assert machine.states() == ["state.0"]
    assert (machine.directory.path / "note").exists()


# --- a log that lost something


def test_a_log_that_was_lost_beside_its_state_is_refused_at_every_start(machine: Machine) -> None:
    """Else a second identity would come up under the old name, and an empty store with it (traps 28, 36)."""
    machine.open_and_apply().close_cleanly()
    aside = machine.directory.path / "aside"
    machine.directory.log_path.rename(aside)
    for _ in range(3):
        assert "was lost" in machine.refusal()
    assert machine.states() == ["state.0"]
    shutil.rmtree(machine.directory.log_path, ignore_errors=True)
    aside.rename(machine.directory.log_path)
    assert facts(machine.open()) == (0, LAST, "")


@pytest.mark.parametrize("ending", [Stores.close_cleanly, kill], ids=["clean stop", "kill"])
def test_a_log_that_ends_before_what_was_applied_is_refused(
    machine: Machine, ending: Callable[[Stores], None]
) -> None:  # trap 29
    stores = machine.open_and_apply()
    stores.log.truncate(3)
    stores.log.commit()
    ending(stores)
    for _ in range(2):
        assert "has applied 3/1, but the log ends at 2/1: the log lost entries" in machine.refusal()
    assert machine.states() == ["state.0"]


def test_a_log_that_holds_another_term_where_it_was_applied_is_refused(machine: Machine) -> None:  # traps 18, 29
    stores = machine.open_and_apply()
    stores.log.truncate(3)
    stores.log.append(3, [encode_entry(3, 2, EntryKind.EMPTY), encode_entry(4, 2, EntryKind.EMPTY)])
    stores.log.commit()
    kill(stores)
    assert "has applied 3/1" in machine.refusal()


def test_a_state_of_another_format_is_refused(machine: Machine) -> None:
    stores = machine.open()
    stores.state.set_meta(b"format", b"\x09")
    stores.state.commit()
    kill(stores)
    with pytest.raises(IdentityRefused, match="is of format 9"):
        machine.open()


# --- a kill at any moment


def lie(machine: Machine) -> None:
    """A state whose last writes the power cut took, in whatever order: a subset that was never true."""
    stores = machine.open_and_apply()
    stores.state.set_keys([(b"lie", b"1")])
    stores.state.commit()
    kill(stores)
    machine.boot += 1


def test_a_kill_while_a_state_is_given_up_never_ends_with_one_that_is_trusted(machine: Machine) -> None:
    lie(machine)
    begin_anew = machine.template()

    def killed_at(line: int) -> bool:
        begin_anew()
        killed = run_killed_at(line, machine.open)
        stores = machine.open()
        assert (stores.state.key(b"lie"), stores.applied, stores.log.last) == (None, NEVER_APPLIED, LAST)
        assert stores.generation == 1
        stores.state.abort()
        kill(stores)
        assert machine.states() == ["state.1"]
        return killed

    assert moments(killed_at) > 15


def test_a_second_power_cut_while_a_state_is_given_up_is_as_harmless(machine: Machine) -> None:
    lie(machine)
    begin_anew = machine.template()

    def killed_at(line: int) -> bool:
        machine.boot += 1
        begin_anew()
        killed = run_killed_at(line, machine.open)
        for state in machine.directory.path.glob("state.[1-9]*"):  # whatever it had begun is torn as well
            torn = LmdbState(state, MAP_SIZE)
            torn.set_keys([(b"lie", b"2")])
            torn.commit()
            torn.close()
        machine.boot += 1
        stores = machine.open()
        assert (stores.state.key(b"lie"), stores.applied) == (None, NEVER_APPLIED)
        stores.state.abort()
        kill(stores)
        return killed

    assert moments(killed_at) > 15


def test_a_kill_at_any_moment_of_a_start_or_a_stop_keeps_a_state_that_is_good(machine: Machine) -> None:
    kill(machine.open_and_apply())
    assert moments(lambda line: run_killed_at(line, machine.open)) > 10
    assert facts(machine.open()) == (0, LAST, "")

    def stopped(line: int) -> bool:
        stores = machine.open()
        killed = run_killed_at(line, stores.close_cleanly)
        kill(stores)
        assert facts(machine.open()) == (0, LAST, "")
        return killed

    assert moments(stopped) > 4


def test_the_mark_is_cleared_only_when_the_state_is_on_the_disk(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = machine.open_and_apply()
    synced: list[bytes | None] = []
    sync = LmdbState.sync

    def spy(state: LmdbState) -> None:
        assert machine.mark() is Mark.SAME_BOOT
        synced.append(state.meta(APPLIED))
        state.abort()
        sync(state)

    monkeypatch.setattr(LmdbState, "sync", spy)
    stores.close_cleanly()
    assert len(synced) == 1
    assert machine.mark() is Mark.CLEAN
