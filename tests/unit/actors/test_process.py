"""The process shell, with real processes: a supervisor that locks a data directory, and an actor that it starts.

An actor ends when the test's side of the pipe is closed, so nothing stays behind if a test fails.
"""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from tests.waiting import wait_until
from zraft.actors.process import InheritedDescriptor, ProcessStats, name_process
from zraft.errors import DataDirectoryInUse
from zraft.store.directory import DataDirectory
from zraft.store.processes import die_with_parent

SPAWN = multiprocessing.get_context("spawn")


def supervise(test: Connection, data: Path, tied: bool) -> None:
    lock = InheritedDescriptor(DataDirectory(data).acquire())
    actor = SPAWN.Process(target=act, args=(test, os.getpid() if tied else None, lock))
    actor.start()
    actor.join()


def act(test: Connection, parent_pid: int | None, lock: InheritedDescriptor) -> None:
    if parent_pid is not None:
        die_with_parent(parent_pid)
    test.send(os.fstat(lock.fileno()).st_ino)
    with suppress(EOFError):
        test.recv()


def start_supervisor(data: Path, *, tied: bool) -> tuple[SpawnProcess, Connection]:
    """Returns when the actor runs."""
    ours, theirs = SPAWN.Pipe()
    supervisor = SPAWN.Process(target=supervise, args=(theirs, data, tied))
    supervisor.start()
    theirs.close()
    assert ours.recv() == (data / "lock").stat().st_ino
    return supervisor, ours


def kill(process: SpawnProcess) -> None:
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def is_free(data: Path) -> bool:
    directory = DataDirectory(data)
    try:
        directory.acquire()
    except DataDirectoryInUse:
        return False
    directory.release()
    return True


def test_an_actor_dies_with_its_killed_supervisor_and_the_directory_is_free(tmp_path: Path) -> None:  # S1
    supervisor, actor = start_supervisor(tmp_path, tied=True)
    assert not is_free(tmp_path)
    kill(supervisor)
    assert actor.poll(10), "the actor outlives its supervisor"
    with pytest.raises(EOFError):
        actor.recv()
    wait_until(lambda: is_free(tmp_path), 10, "the data directory to be free")


def test_the_lock_lives_as_long_as_one_who_inherited_it(tmp_path: Path) -> None:  # S1
    supervisor, actor = start_supervisor(tmp_path, tied=False)
    kill(supervisor)
    with pytest.raises(DataDirectoryInUse, match=f"process {supervisor.pid} or a child of it"):
        DataDirectory(tmp_path).acquire()
    actor.close()
    wait_until(lambda: is_free(tmp_path), 10, "the data directory to be free")


def test_a_child_of_a_parent_that_is_already_gone_exits_at_once() -> None:
    foreign_pid = os.getppid()
    children = [SPAWN.Process(target=die_with_parent, args=(pid,)) for pid in (os.getpid(), foreign_pid)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 1]


def test_a_descriptor_travels_only_to_a_process_that_is_being_spawned() -> None:
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(InheritedDescriptor(0))


def report_command_line(test: Connection) -> None:
    name_process("node-1", "storage")
    test.send(Path("/proc/self/cmdline").read_bytes())


def test_a_process_shows_node_and_actor() -> None:
    ours, theirs = SPAWN.Pipe()
    child = SPAWN.Process(target=report_command_line, args=(theirs,))
    child.start()
    assert ours.recv().rstrip(b"\0") == b"zraft: node-1 storage"
    child.join()


def test_stats_of_this_process() -> None:
    stats = ProcessStats.of(os.getpid())
    used = os.times()
    assert stats is not None
    assert 0 < stats.cpu_seconds <= used.user + used.system + 1e-6  # sums of floats, of the same clock ticks
    assert 1 << 20 < stats.resident_bytes < 1 << 32


def test_a_name_that_looks_like_numbers_does_not_confuse_the_stats(tmp_path: Path) -> None:
    program = tmp_path / ") 1 (2 3 4 5"
    program.symlink_to(shutil.which("cat") or "")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        stats = ProcessStats.of(process.pid)
    assert stats is not None
    assert stats.cpu_seconds < 1


def test_a_process_that_is_gone_has_no_stats() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert ProcessStats.of(process.pid) is None
