"""``zraft node``: where its settings come from, and in which order."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from zraft.cli import zraft
from zraft.cli.node import settings_of
from zraft.config import Settings
from zraft.errors import ConfigurationError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that a supervisor was started with; it ends with 0."""
    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr("zraft.actors.supervisor.run", run)
    monkeypatch.setattr("zraft.cluster.joining.join", lambda settings: None)
    return seen


def node(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(zraft, ["node", *arguments], env=env)


def test_without_options_it_is_a_cluster_of_one(started: list[Settings]) -> None:
    assert node().exit_code == 0
    assert started == [Settings()]


def test_every_setting_is_a_flag(started: list[Settings]) -> None:
    arguments: list[str] = []
    wanted: dict[str, Any] = {}
    other = {
        "peers": "node-2=b:7080, node-1=a:7080",
        "read_mode": "quorum",
        "addresses_of": "peers",
        "host": "127.0.0.2",
        "join": "a:8080",
    }
    for field in msgspec.structs.fields(Settings):
        default = getattr(Settings(), field.name)
        value = other.get(field.name, default + 1 if isinstance(default, int) else f"{default or 'a'}x")
        arguments += [f"--{field.name.replace('_', '-')}", str(value)]
        wanted[field.name] = value
    # Far enough from each other and from the bounds.
    arguments += ["--peer-port", "7000", "--election-timeout-max-ms", "500", "--map-size-gib", "7"]
    wanted |= {"peer_port": 7000, "election_timeout_max_ms": 500, "map_size_gib": 7}
    wanted["peers"] = {"node-2": "b:7080", "node-1": "a:7080"}
    assert node(*arguments).output == ""
    assert started == [Settings(**wanted)]


@pytest.mark.parametrize("other", ["h:7080", "h:7078", "h:7082"])
def test_peers_do_not_share_a_port(other: str) -> None:
    with pytest.raises(ConfigurationError, match="peers node-1 and node-2 overlap on h: "):
        Settings(peers={"node-1": "h:7080", "node-2": other}).check()
    Settings(peers={"node-1": "h:7080", "node-2": "h:7083", "node-3": "i:7080"}).check()


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(started: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "zraft.toml"
    config.write_text('port = 1001\nhttp_port = 1002\npeer_port = 1003\n[peers]\nnode-2 = "b:1"\n')
    env = {"ZRAFT_CONFIG": str(config), "ZRAFT_PORT": "2001", "ZRAFT_HTTP_PORT": "2002", "ZRAFT_PEERS": ""}
    assert node("--port", "3001", env=env).output == ""
    assert started == [Settings(port=3001, http_port=2002, peer_port=1003, peers={"node-2": "b:1"})]


def test_a_variable_that_is_no_settings_is_told(started: list[Settings], capfd: pytest.CaptureFixture[str]) -> None:
    """With ZRAFT_PEER=... a node would form a cluster of its own, and nobody know why."""
    env = {"ZRAFT_PEER": "node-1=a:7080", "ZRAFT_PORT": "2001", "ZRAFT_ENDPOINTS": "a:8080", "ZRAFT_": "x"}
    result = node(env=env)
    assert result.exit_code == 0
    (line,) = (result.stderr + capfd.readouterr().err).splitlines()
    assert 'level=warning node=node-1 actor=supervisor event="variables that are no settings"' in line
    assert line.endswith("names=ZRAFT_,ZRAFT_PEER")
    assert started == [Settings(port=2001)]


@pytest.mark.parametrize(
    ("variable", "value", "flag"),
    [
        ("ZRAFT_PORT", "tcp://10.0.0.1:8080", "--port"),  # Kubernetes sets it, for a Service named zraft
        ("ZRAFT_PRIORITY", "high", "--priority"),
        ("ZRAFT_CONFIG", "missing.toml", "--config"),
    ],
)
def test_what_is_wrong_in_a_variable_is_told_with_its_name(variable: str, value: str, flag: str) -> None:
    found, given = node(env={variable: value}), node(flag, value, env={variable: "1"})
    assert [one.exit_code for one in (found, given)] == [2, 2]
    assert found.stderr.startswith(f"zraft: Invalid value for '{variable}': ")
    assert given.stderr.startswith(f"zraft: Invalid value for '{flag}': ")


@pytest.mark.parametrize("mode", ["lease", "quorum"])
def test_the_read_mode_is_one_of_two(started: list[Settings], mode: str) -> None:
    assert node(env={"ZRAFT_READ_MODE": mode}).exit_code == 0
    assert started == [Settings(read_mode=mode)]


def test_another_read_mode_is_refused() -> None:
    result = node("--read-mode", "guess")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "read_mode is 'guess', but must be one of lease, quorum" in result.stderr


@pytest.mark.parametrize(
    ("advertise", "endpoint"),
    [
        ("", "127.0.0.1:8080"),
        ("10.0.0.1", "10.0.0.1:8080"),
        ("10.0.0.1:9", "10.0.0.1:9"),
        ("db.example.com", "db.example.com:8080"),
        ("fd00::1", "[fd00::1]:8080"),
        ("[fd00::1]", "[fd00::1]:8080"),
        ("[fd00::1]:9", "[fd00::1]:9"),
    ],
)
def test_what_is_advertised_may_lack_the_port(started: list[Settings], advertise: str, endpoint: str) -> None:
    assert node("--advertise", advertise).exit_code == 0
    assert started[0].client_endpoint() == endpoint


def test_the_data_directory_follows_the_name(started: list[Settings]) -> None:
    node("--id", "a")
    node("--id", "a", "--data-dir", "d")
    node(env={"ZRAFT_ID": "b"})
    assert [settings.data_dir for settings in started] == ["zraft-data/a", "d", "zraft-data/b"]


@pytest.mark.parametrize("join", ["127.0.0.1:8080", "localhost:8080", "10.0.0.1:8080,127.0.0.1:8080"])
def test_a_node_may_join_another_one_of_its_machine(started: list[Settings], join: str) -> None:
    assert node("--join", join, "--peers", "node-1=127.0.0.1:7080").exit_code == 0


def test_the_exit_code_is_the_supervisors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zraft.actors.supervisor.run", lambda _: 76)
    assert node().exit_code == 76


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 'red'", "colour"),
        ("port = '8080'", r"\$.port"),
        ("port = 70000", "within 1..65535"),
        ("port =", "no TOML file"),
        ("peers = 'b:1'", "NAME=HOST:PORT"),
        ("[peers]\nnode-2 = 'b'", "must be host:port"),
        ("id = ''", "node name ''"),
        ("join = '10.0.0.1:8080'", "would join as 127.0.0.1"),
        ("[peers]\n" + "\n".join(f"n{number} = 'h:1'" for number in range(15)), "up to 15"),
    ],
)
def test_a_wrong_file_is_told_and_ends_with_2(tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "zraft.toml"
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        settings_of(config, {})
    result = node("--config", str(config))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("peers", ["b", "b=", "a=b:1,a=c:1", "=b:1"])
def test_wrong_peers_are_refused(peers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"peer|node name"):
        settings_of(None, {"peers": peers})
