"""Which node a backup is taken of, and when."""

from pathlib import Path
from typing import Any

import pytest

from zraft.client import backup
from zraft.errors import Unavailable
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


def test_without_a_leader_there_is_no_backup_and_no_file(tmp_path: Path) -> None:
    def without_leader(request: ReadBackup | Get, answer: type[Any], only: str = "") -> Any:
        raise Unavailable("there is no leader")

    with pytest.raises(Unavailable, match="no leader"):
        backup.save(without_leader, NODES, 1.0, tmp_path / "file", lambda done, whole: None)
    assert list(tmp_path.iterdir()) == []
