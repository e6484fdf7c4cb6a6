"""Offline checks and repairs by the command line: exit codes, questions, and what is said."""

import json
from pathlib import Path

import pytest

from tests.cli.asking import run
from tests.unit.store.stored import find, flip, written
from zraft.cli import zraft
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import pending_sync_failure, record_sync_failure


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectory:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return written(tmp_path / "node-1", 5, 5)


def damage_log(directory: DataDirectory) -> None:
    flip(directory.log_path / "data.mdb", find(directory.log_path / "data.mdb", b"key 3"))


def test_a_sound_directory(directory: DataDirectory) -> None:
    result = run("check", str(directory.path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["PART", "HOLDS"],
        ["log", "entries behind 0/0 up to 5/3"],
        ["state", "generation 0, applied 5/3, revision 5"],
        ["damages", "0"],
    ]
    assert run("repair", str(directory.path)).stdout == "nothing is damaged\n"


def test_damage_ends_with_5_names_the_entry_and_the_way_out(directory: DataDirectory) -> None:
    damage_log(directory)
    result = run("check", str(directory.path), "--output", "json")
    assert result.exit_code == 5
    assert f"entry 3 of the log in {directory.log_path}" in result.stderr
    assert f"zraft repair {directory.path}" in result.stderr
    [damage] = json.loads(result.stdout)["damages"]
    assert "entry 3" in damage


@pytest.mark.parametrize("command", [("check",), ("repair",), ("repair", "--acknowledge-fsync-failure")])
def test_a_directory_in_use_is_left_alone(directory: DataDirectory, command: tuple[str, ...]) -> None:
    directory.acquire()
    assert run(command[0], str(directory.path), *command[1:]).exit_code == 73
    directory.release()


def test_a_directory_without_data(tmp_path: Path) -> None:
    for command in (("check",), ("repair",), ("repair", "--force-new-cluster", "--yes")):
        result = run(command[0], str(tmp_path), *command[1:])
        assert (result.exit_code, result.stderr) == (3, f"zraft: {tmp_path} holds no data of a node\n")
        assert list(tmp_path.iterdir()) == []  # not even the lock
    assert run("check", str(tmp_path / "missing")).exit_code == 2


def test_data_that_went_away_before_the_lock_was_held(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = DataDirectory.acquire

    def late(self: DataDirectory) -> int:
        directory.log_path.rename(directory.path / "aside")
        directory.state_path(0).rename(directory.path / "aside.0")
        return acquire(self)

    monkeypatch.setattr(DataDirectory, "acquire", late)
    assert run("check", str(directory.path)).exit_code == 3


def test_a_failure_is_acknowledged_also_where_the_data_was_set_aside(tmp_path: Path, directory: DataDirectory) -> None:
    runtime = runtime_directory(tmp_path)
    record_sync_failure(DataDirectory(tmp_path), runtime, "EIO")
    assert run("repair", str(tmp_path), "--acknowledge-fsync-failure").stdout.startswith("acknowledged: EIO")


@pytest.mark.parametrize("option", [(), ("--force-new-cluster",)])
def test_without_a_yes_nothing_is_done(directory: DataDirectory, option: tuple[str, ...]) -> None:
    if not option:
        damage_log(directory)
    before = sorted(path.name for path in directory.path.iterdir())
    result = run("repair", str(directory.path), *option, stdin=b"n\n")
    assert (result.exit_code, "lost" in result.stderr) == (3, True)
    assert sorted({*before, "lock"}) == sorted(path.name for path in directory.path.iterdir())


def test_nobody_to_answer_is_told_how_to_agree(directory: DataDirectory) -> None:
    before = sorted(path.name for path in directory.path.iterdir())
    result = run("repair", str(directory.path), "--force-new-cluster", stdin=b"")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith("\nzraft: nothing was done: answer y, or give --yes\n")
    assert sorted({*before, "lock"}) == sorted(path.name for path in directory.path.iterdir())


def test_an_interrupt_is_no_end_of_input(directory: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupt)
    with pytest.raises(SystemExit) as end:
        zraft(["repair", str(directory.path), "--force-new-cluster"])
    assert end.value.code == 130


def test_a_damaged_log_is_set_aside_with_all_else(directory: DataDirectory) -> None:
    damage_log(directory)
    result = run("repair", str(directory.path), stdin=b"y\n")
    assert (result.exit_code, "what would be lost" in result.stderr) == (0, True)
    [aside] = directory.path.glob("damaged-*")
    assert f"set aside in {aside}" in result.stdout
    assert sorted(path.name for path in aside.iterdir()) == ["log", "state.0"]


@pytest.mark.parametrize("command", ["check", "repair"])
def test_a_failed_sync_is_told_where_nothing_is_damaged(directory: DataDirectory, command: str) -> None:
    """The node does not start: that nothing is wrong would be a riddle."""
    record_sync_failure(directory, runtime_directory(directory.path), "EIO")
    result = run(command, str(directory.path))
    assert (result.exit_code, "nothing is damaged\n" in result.stdout) == (5, False)
    assert "a commit of the log failed: EIO" in result.stderr
    assert "--acknowledge-fsync-failure" in result.stderr
    damage_log(directory)
    assert ("a commit of the log failed: EIO" in run("check", str(directory.path)).stderr) is True


def test_a_failed_sync_is_acknowledged(directory: DataDirectory) -> None:  # S13
    runtime = runtime_directory(directory.path)
    record_sync_failure(directory, runtime, "EIO")
    result = run("repair", str(directory.path), "--acknowledge-fsync-failure")
    assert (result.exit_code, result.stdout.startswith("acknowledged: EIO")) == (0, True)
    assert not runtime.exists()
    assert pending_sync_failure(directory, runtime) is None
    again = run("repair", str(directory.path), "--acknowledge-fsync-failure")
    assert again.stdout == "there was no failure to acknowledge\n"
