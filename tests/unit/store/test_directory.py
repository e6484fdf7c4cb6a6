"""The data directory's lock and names, and the runtime directory."""

import os
import tempfile
from pathlib import Path

import pytest

from zraft.errors import ConfigurationError, DataDirectoryInUse, InvariantViolated, StorageFault
from zraft.store import directory as directories
from zraft.store.directory import IPC_PATH_BYTES_MAX, DataDirectory, ipc_endpoint, runtime_directory


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def runtime_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    parent = tmp_path / "run"
    parent.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(parent))
    return parent


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_names_in_the_data_directory() -> None:
    directory = DataDirectory(Path("/data"))
    assert [str(path) for path in (directory.log_path, directory.state_path(7))] == ["/data/log", "/data/state.7"]
    assert [str(path) for path in (directory.dirty_mark, directory.fault_record)] == [
        "/data/dirty",
        "/data/fsync-failure.json",
    ]


def test_a_missing_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "data"
    directory = DataDirectory(path)
    directory.acquire()
    assert (mode_of(path), mode_of(path.parent)) == (0o700, 0o700)
    directory.release()


def test_a_second_node_is_refused_and_told_where_and_who(data: Path) -> None:  # S1
    holder = DataDirectory(data)
    holder.acquire()
    with pytest.raises(DataDirectoryInUse, match=f"{data} is in use by process {os.getpid()} or a child of it"):
        DataDirectory(data).acquire()
    holder.release()


def test_a_holder_who_has_not_yet_written_its_pid_is_not_named(data: Path) -> None:
    holder = DataDirectory(data)
    os.ftruncate(holder.acquire(), 0)
    with pytest.raises(DataDirectoryInUse, match="in use by another process"):
        DataDirectory(data).acquire()
    holder.release()


def test_a_released_directory_is_free_again(data: Path) -> None:
    for directory in (DataDirectory(data), DataDirectory(data)):
        directory.acquire()
        directory.release()
        directory.release()


def test_a_release_leaves_the_lock_to_those_who_inherited_it(data: Path) -> None:  # S1
    supervisor = DataDirectory(data)
    inherited = os.dup(supervisor.acquire())
    supervisor.release()
    with pytest.raises(DataDirectoryInUse):
        DataDirectory(data).acquire()
    os.close(inherited)
    supervisor.acquire()
    supervisor.release()


def test_one_object_acquires_once(data: Path) -> None:
    directory = DataDirectory(data)
    directory.acquire()
    with pytest.raises(InvariantViolated):
        directory.acquire()
    directory.release()


def test_a_directory_that_can_not_be_made_is_a_storage_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault, match=f"{tmp_path}/file/data can't be used"):
        DataDirectory(tmp_path / "file" / "data").acquire()


def test_the_runtime_directory_is_private_and_the_same_for_each_spelling(data: Path, runtime_parent: Path) -> None:
    data.mkdir()
    other_name = data.parent / "link"
    other_name.symlink_to(data)
    path = runtime_directory(data)
    assert (path.parent, mode_of(path)) == (runtime_parent, 0o700)
    assert (runtime_directory(data), runtime_directory(other_name)) == (path, path)
    assert runtime_directory(data.parent / "another") != path


@pytest.mark.parametrize("configured", [None, "", "relative", "/nonexistent"])
@pytest.mark.parametrize("has_memory", [True, False])
def test_without_a_usable_xdg_directory_memory_is_taken_else_the_temporary_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str | None, has_memory: bool
) -> None:
    monkeypatch.setattr(directories, "MEMORY_DIRECTORY", tmp_path if has_memory else tmp_path / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing" if has_memory else tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if configured is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", configured)
    assert runtime_directory(data).parent == tmp_path


def test_a_runtime_directory_that_others_may_enter_is_refused(data: Path, runtime_parent: Path) -> None:
    runtime_directory(data).chmod(0o711)
    with pytest.raises(ConfigurationError, match="set XDG_RUNTIME_DIR"):
        runtime_directory(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_runtime_directory_of_somebody_else_is_refused(data: Path, runtime_parent: Path) -> None:
    os.chown(runtime_directory(data), 12345, 12345)
    with pytest.raises(ConfigurationError, match="of this user alone"):
        runtime_directory(data)


def test_a_link_in_place_of_the_runtime_directory_is_refused(data: Path, runtime_parent: Path) -> None:
    path = runtime_directory(data)
    path.rename(runtime_parent / "elsewhere")
    path.symlink_to(runtime_parent / "elsewhere")
    with pytest.raises(ConfigurationError):
        runtime_directory(data)


def test_an_endpoint_names_incarnation_and_actor() -> None:
    assert ipc_endpoint(Path("/run/zraft"), 0xBEEF, "storage") == "ipc:///run/zraft/000000000000beef.storage"


def test_an_endpoint_is_as_long_as_a_unix_socket_may_be_and_no_longer() -> None:
    longest = Path("/" + "r" * (IPC_PATH_BYTES_MAX - len("//0123456789abcdef.storage")))
    assert len(ipc_endpoint(longest, 1, "storage").removeprefix("ipc://")) == IPC_PATH_BYTES_MAX
    with pytest.raises(ConfigurationError, match="set XDG_RUNTIME_DIR to something shorter"):
        ipc_endpoint(longest, 1, "storages")
