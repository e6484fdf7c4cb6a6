"""Backups by the command line: against a scripted node, and on files; all of them end with 5 on damage."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.asking import Serve, run
from tests.unit.store.stored import MAP, RECORD, copy_unprobed, find, flip, lead_astray, written
from zraft.protocol.requests import ReadBackup, Request
from zraft.protocol.responses import BackupChunk, ErrorResult, GetResult, Response
from zraft.store.snapshots import make_snapshot, verify_snapshot

CHUNK = 10_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    directory = written(tmp_path / "node-1", 5, 5)
    path, _ = make_snapshot(directory.state_path(0), directory.snapshots_path, MAP, RECORD, 1.0)
    return path


class Giver:
    """A node that gives the file, after it has been asked for it twice in vain."""

    def __init__(self, file: Path, wrong: int | None = None) -> None:
        data = bytearray(file.read_bytes())
        if wrong is not None:
            data[wrong] ^= 1
        self._data = bytes(data)
        self._asked = 0
        self.names: set[bytes] = set()

    def __call__(self, request: ReadBackup) -> Response:
        self.names.add(request.backup)
        self._asked += 1
        if self._asked < 3:
            return BackupChunk(request.offset, 0, b"")
        return BackupChunk(request.offset, len(self._data), self._data[request.offset : request.offset + CHUNK])


def asked(give: Callable[[ReadBackup], Response], revision: int = 5) -> Callable[[Request], Response]:
    """A node that is asked for its revision before."""

    def answer(request: Request) -> Response:
        return give(request) if isinstance(request, ReadBackup) else GetResult(False, None, None, revision)

    return answer


def test_save_writes_what_the_node_gives(serve: Serve, file: Path, tmp_path: Path) -> None:
    giver = Giver(file)
    node = serve(asked(giver))
    result = run("snapshot", "save", "b", "--endpoints", node.endpoint, "--output", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "b").read_bytes() == file.read_bytes()
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) & 0o077 == 0
    assert len(giver.names) == 1
    document = json.loads(result.stdout)
    assert (document["revision"], document["index"]) == (5, 5)
    assert document["cluster_id"] == RECORD.cluster_id().hex()
    assert document["checksum"] == verify_snapshot(file).checksum().hex()


def test_save_goes_on_to_a_node_that_has_time(serve: Serve, file: Path, tmp_path: Path) -> None:
    refusal = ErrorResult("ResourceExhausted", "another backup of this node is being read")
    busy, free = serve(asked(lambda request: refusal)), serve(asked(Giver(file)))
    result = run("snapshot", "save", "b", "--endpoints", f"{busy.endpoint},{free.endpoint}")
    assert result.exit_code == 0
    assert (tmp_path / "b").exists()


def test_save_ends_with_5_on_damage_and_leaves_the_old_file(serve: Serve, file: Path, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    node = serve(asked(Giver(file, wrong=find(file, b"value"))))
    result = run("snapshot", "save", "b", "--endpoints", node.endpoint)
    assert (result.exit_code, "damaged" in result.stderr) == (5, True)
    assert (tmp_path / "b").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "node-1"]


def test_save_replaces_no_device_and_what_a_link_leads_to_not_the_link(
    serve: Serve, file: Path, tmp_path: Path
) -> None:
    node = serve(asked(Giver(file)))
    os.mkfifo(tmp_path / "pipe")
    result = run("snapshot", "save", "pipe", "--endpoints", node.endpoint)
    assert (result.exit_code, "is no regular file" in result.stderr) == (71, True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "b")
    assert run("snapshot", "save", "link", "--endpoints", node.endpoint).exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "b").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("file", ["nowhere/b", "broken"])
def test_save_into_a_directory_that_is_missing_names_it(serve: Serve, tmp_path: Path, file: str) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere" / "b")
    node = serve(ErrorResult("Unavailable", "the node is starting"))
    result = run("snapshot", "save", file, "--endpoints", node.endpoint)
    assert (result.exit_code, node.requests) == (71, [])
    assert result.stderr == f"zraft: there is no directory {tmp_path / 'nowhere'}\n"


def test_save_from_nobody_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    node = serve(ErrorResult("Unavailable", "the node is starting"))
    result = run("snapshot", "save", "b", "--endpoints", node.endpoint, "--timeout", "0.3")
    assert (result.exit_code, "the node is starting" in result.stderr) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_lacks_what_was_acknowledged_gets_no_name(serve: Serve, file: Path, tmp_path: Path) -> None:
    node = serve(asked(Giver(file), revision=6))
    result = run("snapshot", "save", "b", "--endpoints", node.endpoint)
    assert (result.exit_code, "ends with revision 5, before 6: try again" in result.stderr) == (3, True)
    assert not (tmp_path / "b").exists()


def test_a_node_that_ends_too_early_is_found_out(serve: Serve, tmp_path: Path) -> None:
    node = serve(asked(lambda request: BackupChunk(0, 100, b"" if request.offset else b"x")))
    result = run("snapshot", "save", "b", "--endpoints", node.endpoint)
    assert (result.exit_code, "ended after 1" in result.stderr) == (5, True)
    assert list(tmp_path.iterdir()) == []


def test_status_tells_what_a_file_holds(file: Path) -> None:
    result = run("snapshot", "status", str(file))
    assert result.exit_code == 0
    assert "REVISION     5\n" in result.stdout
    assert "1970-01-01T00:00:01+00:00" in result.stdout


@pytest.mark.parametrize("command", [("status",), ("restore", "--id", "node-1", "--data-dir", "new")])
@pytest.mark.parametrize("where", [b"value", b"zraftsn"])
def test_a_damaged_file_ends_with_5(file: Path, tmp_path: Path, command: tuple[str, ...], where: bytes) -> None:
    flip(file, find(file, where))
    result = run("snapshot", command[0], str(file), *command[1:])
    assert (result.exit_code, str(file) in result.stderr) == (5, True)
    assert not (tmp_path / "new").exists()


def test_a_true_copy_of_a_damaged_state_ends_with_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = written(tmp_path / "astray", entries=300, applied=300)
    lead_astray(directory.state_path(0))
    result = run("snapshot", "status", str(copy_unprobed(directory, monkeypatch)))
    assert (result.exit_code, "was made of a damaged state" in result.stderr) == (5, True)


def test_a_file_that_is_cut_short_ends_with_5(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    assert run("snapshot", "status", str(file)).exit_code == 5


def test_restore_makes_a_directory_once(file: Path) -> None:
    words = ("snapshot", "restore", str(file), "--id", "node-1", "--data-dir", "new", "--bump-revision", "10")
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "restored revision 15" in result.stdout
    assert "\nzraft node --id node-1 --data-dir new\n" in result.stdout
    result = run(*words)
    assert (result.exit_code, "is not empty" in result.stderr) == (2, True)
    assert run("check", "new").exit_code == 0


def test_restore_tells_the_same_in_json(file: Path) -> None:
    result = run("snapshot", "restore", str(file), "--id", "node-1", "--data-dir", "new", "--output", "json")
    assert json.loads(result.stdout) == {"revision": 5, "command": "zraft node --id node-1 --data-dir new"}


@pytest.mark.parametrize(
    ("own", "listens"),
    [
        ("10.0.0.1:7080", " --host 10.0.0.1"),
        ("[fd00::1]:7090", " --host fd00::1 --peer-port 7090"),
        ("127.0.0.1:7080", ""),
        ("one.example.com:7080", " --host ADDRESS"),
    ],
)
def test_restore_tells_how_to_start_one_of_several(file: Path, own: str, listens: str) -> None:
    peers = f"node-1={own},node-2=10.0.0.2:7080"
    result = run("snapshot", "restore", str(file), "--id", "node-1", "--data-dir", "new", "--peers", peers)
    assert result.stdout.endswith(f"\nzraft node --id node-1 --data-dir new{listens} --peers {peers}\n")


def test_a_bar_is_drawn_on_a_terminal_and_nowhere_else(file: Path) -> None:
    terminal, its_end = os.openpty()
    words = [sys.executable, "-m", "zraft.cli", "snapshot", "status", str(file)]
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=paths, stdout=subprocess.PIPE, stderr=its_end, check=True, timeout=30)
    os.close(its_end)
    drawn = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert f"verifying [{'#' * 30}] 0 of 0 MiB" in drawn
    assert b"verifying" not in done.stdout
    assert "verifying" not in run("snapshot", "status", str(file)).output
