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
