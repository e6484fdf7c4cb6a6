"""Which node a backup is taken of, and when."""

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zraft.client import backup
from zraft.errors import ProtocolError, Unavailable, ZraftError
from zraft.protocol.requests import Get, ReadBackup
from zraft.protocol.responses import BackupChunk, GetResult

NODES = ("a", "b")


class Nodes:
    """Answers what is asked; ``behind``: the revisions that each node tells in turn, the last one for ever."""

    def __init__(self, revision: int = 7, **behind: list[int]) -> None:
        self.revision = revision
        self.behind = behind
        self.began: list[str] = []

    def __call__(self, request: ReadBackup | Get, answer: type[Any], only: str = "") -> Any:
        if isinstance(request, ReadBackup):
            self.began.append(only)
            return BackupChunk(0, 0, b"")
        assert request.serializable == bool(only)
        if not only:
            return GetResult(False, None, None, self.revision)
        told = self.behind[only]
        return GetResult(False, None, None, told.pop(0) if len(told) > 1 else told[0])


def begun(nodes: Nodes, timeout: float = 10.0) -> str:
    backup._begun(nodes, NODES, timeout, nodes.revision)
    [endpoint] = nodes.began
    return endpoint


def test_a_node_that_has_it_all_gives_the_backup_at_once() -> None:
    assert begun(Nodes(a=[7])) == "a"


def test_a_node_that_is_behind_is_waited_for() -> None:
    nodes = Nodes(a=[5, 5, 6, 8])
    assert (begun(nodes), nodes.behind["a"]) == ("a", [8])


def test_another_node_is_asked_when_one_does_not_catch_up() -> None:
    assert begun(Nodes(a=[5], b=[7]), timeout=0.0) == "b"


def test_no_node_that_is_behind_gives_one() -> None:
    nodes = Nodes(a=[5], b=[6])
    with pytest.raises(Unavailable, match="a is at revision 5, and does not reach 7; b is at revision 6"):
        begun(nodes, timeout=0.0)
    assert nodes.began == []


def test_a_directory_that_is_missing_is_named_before_anybody_is_asked(tmp_path: Path) -> None:
    def never(request: ReadBackup | Get, answer: type[Any], only: str = "") -> Any:
        raise AssertionError(request)

    with pytest.raises(FileNotFoundError, match=f"^there is no directory {tmp_path}/missing$"):
        backup.save(never, NODES, 1.0, tmp_path / "missing" / "file", lambda done, whole: None)


class Given(Nodes):
    """Nodes that have it all; a backup of them is given in these chunks, or errors, in turn."""

    def __init__(self, *chunks: BackupChunk | ZraftError) -> None:
        super().__init__(a=[7], b=[7])
        self.chunks = list(chunks)

    def __call__(self, request: ReadBackup | Get, answer: type[Any], only: str = "") -> Any:
        if isinstance(request, ReadBackup) and self.began:
            chunk = self.chunks.pop(0)
            if isinstance(chunk, ZraftError):
                raise chunk
            return chunk
        return super().__call__(request, answer, only)


FIRST, LAST = BackupChunk(0, 6, b"abc"), BackupChunk(3, 6, b"def")


def read(chunks: Given, timeout: float = 10.0) -> bytes:
    file = io.BytesIO()
    backup._begun(chunks, NODES, timeout, 7).read_into(file, lambda done, whole: None)
    return file.getvalue()


def test_a_chunk_that_was_refused_is_asked_for_again_while_there_is_time() -> None:
    assert read(Given(FIRST, Unavailable("busy"), LAST)) == b"abcdef"
    with pytest.raises(Unavailable, match="busy"):
        read(Given(FIRST, Unavailable("busy"), LAST), timeout=0.0)


@pytest.mark.parametrize("second", [BackupChunk(3, 7, b"def"), BackupChunk(3, 6, b"")])
def test_a_backup_that_becomes_another_one_midway_is_none(second: BackupChunk) -> None:
    with pytest.raises(ProtocolError, match="the snapshot of 6 bytes ended after 3"):
        read(Given(FIRST, second, LAST))


def test_a_backup_has_its_name_only_when_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut right behind `snapshot save` leaves what was there before, or all of it."""
    steps: list[str] = []
    rename = Path.rename

    def renamed(path: Path, to: Path) -> Path:
        steps.append(f"rename to {to.name}")
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", lambda file: steps.append(f"fsync of {os.fstat(file).st_size} bytes"))
    monkeypatch.setattr(backup, "verify_snapshot", lambda path: SimpleNamespace(revision=7))
    monkeypatch.setattr(backup, "sync_directory", lambda path: steps.append(f"sync of {path.name}"))
    monkeypatch.setattr(Path, "rename", renamed)
    backup.save(Given(FIRST, LAST), NODES, 1.0, tmp_path / "file", lambda done, whole: None)
    assert steps == ["fsync of 6 bytes", "rename to file", f"sync of {tmp_path.name}"]
    assert (tmp_path / "file").read_bytes() == b"abcdef"


def test_without_a_leader_there_is_no_backup_and_no_file(tmp_path: Path) -> None:
    def without_leader(request: ReadBackup | Get, answer: type[Any], only: str = "") -> Any:
        raise Unavailable("there is no leader")

    with pytest.raises(Unavailable, match="no leader"):
        backup.save(without_leader, NODES, 1.0, tmp_path / "file", lambda done, whole: None)
    assert list(tmp_path.iterdir()) == []
