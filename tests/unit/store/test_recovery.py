"""Opening a node's stores: when the applied state is used again, given up, or held against the log."""

import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from zraft.core.acceptor import Acceptor
from zraft.core.applier import Applier
from zraft.core.records import APPLIED
from zraft.core.views import View
from zraft.errors import CorruptLog, IdentityRefused, StorageFault
from zraft.protocol.client import Get, Put
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, encode_entry
from zraft.store import dirty, recovery
from zraft.store.directory import DataDirectory
from zraft.store.dirty import BootIdentity, DirtyMark, Mark
from zraft.store.recovery import Stores, open_stores
from zraft.store.state import LmdbState

MAP_SIZE = 1 << 30
MEMBER = 0xA
NEVER_APPLIED = EntryId(0, 0)
LAST = EntryId(3, 1)


class Machine:
    """A data directory on a machine whose power can be cut."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = DataDirectory(path)
        self.boot = 1
        path.mkdir()
        monkeypatch.setattr(dirty, "boot_identity", lambda _: BootIdentity(f"boot {self.boot}", 7))

    def open(self) -> Stores:
        return open_stores(self.directory, MEMBER, MAP_SIZE, lambda seconds: None)

    def open_and_apply(self, entries: int = LAST.index) -> Stores:
        """Three entries that set keys 1 to 3, of which so many are applied."""
        stores = self.open()
        payloads = [pack_commands([encode(Put(b"%d" % index, b"v"))]) for index in (1, 2, 3)]
        encoded = [encode_entry(i, 1, EntryKind.COMMANDS, NO_ORIGIN, payload) for i, payload in enumerate(payloads, 1)]
        stores.log.append(1, encoded)
        stores.log.set_term(1, MEMBER)
        stores.log.commit()
        acceptor = Acceptor(stores.log)
        acceptor.commit = entries
        Applier(stores.log, stores.state, acceptor).work(lambda: False)
        return stores

    def refusal(self) -> str:
        try:
            self.open()
        except CorruptLog as error:
            message = str(error)
        else:
            pytest.fail("it was opened")
        gc.collect()  # LMDB opens nothing twice in a process, and the refused start was to end with its own
        return message

    def states(self) -> list[str]:
        return sorted(path.name for path in self.directory.path.glob("state.*"))

    def mark(self) -> Mark:
        return DirtyMark(self.directory.dirty_mark).state()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "data", monkeypatch)


def kill(stores: Stores) -> None:
    """The process is gone: nothing more is written, and what was lives on in the page cache."""
    stores.state.close()
    stores.log.close()


def facts(stores: Stores) -> tuple[int, EntryId, str]:
    """(generation, applied, why it was rebuilt), and the stores are closed."""
    found = (stores.generation, stores.applied, stores.rebuilt)
    kill(stores)
    return found


def value(stores: Stores, key: bytes) -> bytes | None:
    found = View(stores.state).get(Get(key)).value
    stores.state.abort()
    return found


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
    stores.state.set_key(b"half", b"done")
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
    stores.state.set_meta(b"format", b"\x03")
    stores.state.commit()
    kill(stores)
    with pytest.raises(IdentityRefused, match="is of format 3"):
        machine.open()


# --- a kill at any moment


class Killed(BaseException):
    """The process ends here."""


def run_killed_at(line: int, run: Callable[[], object]) -> bool:
    """Run until the ``line``-th line of ``store.recovery``; whether it came so far. What is open is dropped."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != recovery.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == line:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = run()
    except Killed:
        return True
    finally:
        sys.settrace(before)
        gc.collect()
    if isinstance(result, Stores):
        kill(result)
    return False


def lie(machine: Machine) -> None:
    """A state whose last writes the power cut took, in whatever order: a subset that was never true."""
    stores = machine.open_and_apply()
    stores.state.set_key(b"lie", b"1")
    stores.state.commit()
    kill(stores)
    machine.boot += 1


def moments(run: Callable[[int], bool]) -> int:
    """Call ``run`` with 1, 2, ... until it is not killed any more; returns how often it was."""
    line = 1
    while run(line):
        line += 1
    return line - 1


def test_a_kill_while_a_state_is_given_up_never_ends_with_one_that_is_trusted(machine: Machine) -> None:
    lie(machine)
    data, template = machine.directory.path, machine.directory.path.with_name("template")
    data.rename(template)

    def killed_at(line: int) -> bool:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(template, data)
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
    data, template = machine.directory.path, machine.directory.path.with_name("template")
    data.rename(template)

    def killed_at(line: int) -> bool:
        machine.boot += 1
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(template, data)
        killed = run_killed_at(line, machine.open)
        for state in data.glob("state.[1-9]*"):  # whatever it had begun is torn as well
            torn = LmdbState(state, MAP_SIZE)
            torn.set_key(b"lie", b"2")
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
