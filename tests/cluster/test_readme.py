"""What the README tells people to type does what it says."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cluster.nodes import started
from tests.cluster.running import WAIT_S, free_ports, running
from tests.waiting import wait_until
from zraft import Client, PutResult, Unknown
from zraft.cli import zraft
from zraft.cli.node import settings_of
from zraft.cluster import LocalCluster
from zraft.config import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "zraft" / "client" / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "zraft" / "cli" / "README.md").read_text(encoding="utf-8")
FOURTH = "10.0.0.4:7080"
"""Where the README has the node that joins."""
NOT_OURS = (".", "make", "docker", "kubectl")


@dataclass(frozen=True)
class Command:
    """A command line of a page, and the lines that stand below it."""

    words: list[str]
    output: str


def commands_of(page: str) -> Iterator[Command]:
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield Command(shlex.split(line, comments=True), output)


def is_node(command: Command) -> bool:
    return command.words[:2] == ["zraft", "node"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose local cluster runs, as after `make run-cluster`."""
    monkeypatch.delenv("ZRAFT_ENDPOINTS", raising=False)
    with running(tmp_path / ".zraft"):
        yield tmp_path


@pytest.fixture
def beside(home: Path) -> Iterator[contextlib.ExitStack]:
    """What runs beside the cluster, and ends before it does."""
    with contextlib.ExitStack() as exits:
        yield exits


def newcomer(home: Path) -> Settings:
    """The node of the README that joins: on this machine, and the cluster that runs here."""
    cluster, ports = LocalCluster.load(home / ".zraft"), free_ports(1)
    return Settings(
        id="node-4",
        port=ports.client,
        http_port=ports.http,
        peer_port=ports.peer,
        data_dir=str(home / "node-4"),
        join=",".join(cluster.endpoints()),
    )


@pytest.mark.cluster
def test_the_commands_run_one_after_the_other(home: Path, beside: contextlib.ExitStack) -> None:
    ran, fourth = 0, newcomer(home)
    for command in commands_of(README):
        if is_node(command) and "--join" in command.words:
            beside.enter_context(started(fourth, home))
        if command.words[0] in NOT_OURS or is_node(command):
            continue
        assert command.words[0] == "zraft"
        words = [word.replace(FOURTH, fourth.peer_endpoint()) for word in command.words[1:]]
        result = subprocess.run(
            [sys.executable, "-m", "zraft.cli", *words],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, ""), command
        if command.output:
            assert result.stdout.strip() == command.output.strip(), command
        ran += 1
    assert ran > 5


@pytest.mark.cluster
def test_the_python_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints = iter(LocalCluster.load(home / ".zraft").endpoints())
    [program] = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    exec(re.sub(r"127\.0\.0\.1:808\d", lambda _: next(endpoints), program), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "b'100'"
    assert lines[-3] == "b'config/rate' b'200'"
    assert re.fullmatch(r"as of revision \d+", lines[-2])
    assert lines[-1] == "['PutResult', 'DeleteResult', 'PreconditionFailed']"


class Doubtful(Client):
    """Whose next puts end as unknown, some after they took effect, some before; then others write, too."""

    def lose(self, *executed: bool, then: str = "") -> None:
        self.lost, self.then = list(executed), then

    def put(self, key: Any, value: Any, **options: Any) -> PutResult:
        if not self.lost:
            return super().put(key, value, **options)
        if self.lost.pop(0):
            super().put(key, value, **options)
        if self.then and not self.lost:
            super().put(key, self.then)
        raise Unknown("lost")


@pytest.fixture
def recipes() -> dict[str, Any]:
    """What the page of the client defines."""
    made: dict[str, Any] = {}
    exec("".join(re.findall(r"^```python\n(.*?)^```", RECIPES, re.DOTALL | re.MULTILINE)), made)
    return made


@pytest.mark.cluster
def test_the_recipes_of_the_client_hold(home: Path, recipes: dict[str, Any]) -> None:
    write_once, change = recipes["write_once"], recipes["change"]
    with Doubtful(LocalCluster.load(home / ".zraft").endpoints()) as client:
        client.lose()
        first = write_once(client, "k", "1", 0)
        assert first == client.get("k").mod_revision
        assert write_once(client, "k", "2", 0) is None
        for number, executed in enumerate([(True,), (False,), (False, True), (True, False)]):
            before = client.get("k").mod_revision
            client.lose(*executed)
            assert write_once(client, "k", f"ours {number}", before) == client.get("k").mod_revision
        client.lose(True, then="theirs")  # it took effect, and is no more to be seen
        now = client.get("k").mod_revision
        mine = write_once(client, "k", "mine", now)
        assert client.get("k").value == b"theirs"
        assert mine is not None
        assert client.get("k", revision=mine).value == b"mine"
        client.lose(False, then="theirs again")
        assert write_once(client, "k", "never", client.get("k").mod_revision) is None
        client.lose(True, then="as the very first")
        made = write_once(client, "new", "made", 0)
        assert client.get("new", revision=made).value == b"made"
        for _ in range(3):
            client.lose(True)
            change(client, "count", lambda text: str(int(text or "0") + 1))
        assert client.get("count").value.endswith(b"\n3")  # type: ignore[union-attr]  # there is one
        client.lose()
        assert recipes["changed"](client, "count", 0, 0.0)
        assert not recipes["changed"](client, "count", 1 << 40, 0.0)


@pytest.mark.cluster
def test_the_lock_of_the_clients_page_is_held_by_one_and_taken_from_the_dead(
    home: Path, recipes: dict[str, Any]
) -> None:
    with Client(LocalCluster.load(home / ".zraft").endpoints()) as client:
        dead, heir = (recipes["Lock"](client, "lock", seconds) for seconds in (60.0, 0.2))
        assert dead.step()
        assert (heir.step(), dead.step(), dead.token) == (False, True, client.get("lock").create_revision)
        wait_until(heir.step, WAIT_S, "the lock is taken over")
        assert heir.token > dead.token
        assert not dead.step()  # as soon as it asks
        heir.release()
        assert dead.step()
        assert dead.token > heir.token


@pytest.mark.parametrize("page", [README, MANUAL], ids=["README", "manual"])
def test_nodes_are_started_with_settings_that_are_right(page: str, tmp_path: Path) -> None:
    nodes = [command for command in commands_of(page) if is_node(command)]
    node = zraft.get_command(click.Context(zraft), "node")
    assert nodes
    assert node is not None
    for command in nodes:
        if "--config" not in command.words:
            given = node.make_context("node", command.words[2:]).params
            settings_of(given.pop("config"), given)


def test_the_make_targets_are_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:\$ |`)make ([a-z0-9-]+)", README))
    assert named
    assert named <= targets


def test_every_command_of_the_pages_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its words, options and arguments are right; nothing is run."""
    monkeypatch.chdir(tmp_path)
    for file in ("tls.pem", "zraft.toml", "zraft-history.jsonl", "backup.snapshot"):
        (tmp_path / file).touch()
    for given in [*commands_of(README), *commands_of(MANUAL)]:
        if given.words[0] in NOT_OURS:
            continue
        words = given.words[given.words.index("zraft") + 1 :]
        for mark in ("|", "||", ">"):
            words = words[: words.index(mark)] if mark in words else words
        command: click.Command | None = zraft
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, given
        command.make_context(command.name, words).close()
