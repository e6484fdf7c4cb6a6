import errno
import threading
from pathlib import Path

import pytest

from tests.waiting import wait_until
from zraft.store.files import remove_behind

WAIT_S = 10.0


def test_what_takes_long_to_remove_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, directory = tmp_path / "file", tmp_path / "directory"
    file.write_bytes(b"many blocks")
    directory.mkdir()
    (directory / "data.mdb").write_bytes(b"more")
    go, remove = threading.Event(), Path.unlink

    def slow(path: Path, missing_ok: bool = False) -> None:
        assert go.wait(WAIT_S)
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", slow)
    remove_behind(file, tmp_path / "nothing", directory)
    assert file.exists()
    go.set()
    wait_until(lambda: not list(tmp_path.iterdir()), WAIT_S, "all of it to be gone")


def test_one_that_can_not_be_removed_keeps_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_bytes(b"x")
    good.write_bytes(b"x")
    remove = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == bad:
            raise OSError(errno.EIO, "a bad sector")
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    remove_behind(bad, good)
    wait_until(lambda: not good.exists(), WAIT_S, "the other one to be gone")
    assert bad.exists()  # its name is one that the next start removes


def test_where_no_thread_can_be_started_it_is_removed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with a limit of processes; that is no reason to end."""
    file = tmp_path / "file"
    file.write_bytes(b"many blocks")

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    remove_behind(file)
    assert not file.exists()
