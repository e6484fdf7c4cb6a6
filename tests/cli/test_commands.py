"""The command line against a scripted node: output, usage and exit codes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.asking import ANSWERED_S, UNANSWERED_S, Serve, ask, run
from tests.wire.scripted import CLUSTER, ScriptedNode
from zraft.cli.output import read_in
from zraft.protocol.requests import ClusterStatus, Delete, Get, Put, Request, TransferLeadership
from zraft.protocol.responses import (
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    GetResult,
    PeerInfo,
    PutResult,
    Response,
    StatusResult,
    TransferResult,
)

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
GONE = DeleteResult(success=True, error=None, index=8, revision=4, found=True)
FAILED = ErrorInfo("PreconditionFailed", "the key's mod revision is 4, not 3")
VALUE = bytes(range(256))


def test_get_writes_the_value_and_nothing_else(serve: Serve) -> None:
    node = serve(GetResult(True, VALUE, None, 3))
    result = ask(node, "get", b"\xff\x80", "--consistency", "serializable")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, VALUE, "")
    assert node.requests == [Get(b"\xff\x80", serializable=True)]


def test_all_of_a_pipe_that_does_not_block_is_read() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    threading.Timer(0.2, lambda: os.write(write_end, b" second")).start()
    threading.Timer(0.4, os.close, (write_end,)).start()
    os.write(write_end, b"first")
    with os.fdopen(read_end, "rb") as pipe:
        assert read_in(pipe, 1 << 20) == b"first second"


def test_put_takes_its_value_from_the_argument_a_file_or_stdin(serve: Serve, tmp_path: Path) -> None:
    node = serve(DONE)
    (tmp_path / "value").write_bytes(VALUE)
    results = [
        ask(node, "put", "k", b"\xff"),
        ask(node, "put", "k", ""),
        ask(node, "put", "k", "--file", str(tmp_path / "value")),
        ask(node, "put", "k", "--file", "-", stdin=VALUE),
        ask(node, "put", "k", "--expected-revision", "0", stdin=VALUE),
        ask(node, "put", "--", "-k", "-v"),
    ]
    assert [(one.exit_code, one.stdout, one.stderr) for one in results] == [(0, "revision 3\n", "")] * 6
    assert node.requests == [
        Put(b"k", b"\xff"),
        Put(b"k", b""),
        Put(b"k", VALUE),
        Put(b"k", VALUE),
        Put(b"k", VALUE, 0),
        Put(b"-k", b"-v"),
    ]


def test_delete_tells_the_revision(serve: Serve) -> None:
    node = serve(GONE)
    result = ask(node, "delete", "k", "--expected-revision", "3")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "revision 4\n", "")
    assert node.requests == [Delete(b"k", 3)]


@pytest.mark.parametrize(
    ("arguments", "response", "exit_code", "says"),
    [
        (["get", "k"], GetResult(False, None, None, 3), 1, "key not found: 'k'"),
        (["delete", "k"], DeleteResult(True, None, 8, 4), 1, "key not found: 'k'"),
        (["put", "k", "v"], PutResult(False, FAILED, 8, 4, 4), 1, "mod revision is 4, not 3"),
        (["delete", "k"], DeleteResult(False, FAILED, 8, 4, 4), 1, "mod revision is 4, not 3"),
        (["put", "k", "v"], ErrorResult("Unavailable", "there is no leader"), 3, "there is no leader"),
        (["get", "k"], ErrorResult("ResourceExhausted", "too many requests"), 3, "zraft status"),
        (["put", "k", "v"], ErrorResult("Unknown", "the leader was lost"), 4, "proves nothing"),
        (["put", "k", "v"], ErrorResult("SomethingNew", "of a later version"), 4, "proves nothing"),
        (["put", "k", "v"], ErrorResult("InvalidArgument", "no"), 5, "rejected: no"),
        (["get", "k"], ErrorResult("Compacted", "revision 1 is gone"), 5, "revision 1 is gone"),
        (["get", "k"], ErrorResult("ProtocolError", "another cluster"), 5, "another cluster"),
        (["put", "k" * 401, "v"], DONE, 5, "400 bytes"),
        (["put", "", "v"], DONE, 5, "400 bytes"),
    ],
)
def test_each_outcome_has_its_exit_code_and_one_line(
    serve: Serve, arguments: list[str], response: Response, exit_code: int, says: str
) -> None:
    result = ask(serve(response), *arguments, timeout=UNANSWERED_S if exit_code == 3 else ANSWERED_S)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith("zraft: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["", "nonsense", "{}"])
def test_a_record_of_a_local_cluster_that_can_not_be_read_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / ".zraft").mkdir()
    (tmp_path / ".zraft" / "cluster.json").write_text(content)
    result = run("get", "k")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "or name nodes with --endpoints" in result.stderr


@pytest.mark.parametrize("endpoints", ["", "127.0.0.1:\N{SUPERSCRIPT TWO}", "h:" + "1" * 5_000])
def test_what_is_no_endpoint_is_wrong_usage(endpoints: str) -> None:
    result = run("get", "k", "--endpoints", endpoints)
    assert (result.exit_code, "must be host:port" in result.stderr) == (2, True)


def test_wrong_endpoints_are_told_where_they_stand_and_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    says = ": an endpoint is '127.0.0.1', but must be host:port: a name"
    right = "; several are separated by commas, as in 10.0.0.1:8080,10.0.0.2:8080. See `"
    given = run("get", "k", "--endpoints", "127.0.0.1").stderr
    monkeypatch.setenv("ZRAFT_ENDPOINTS", "127.0.0.1:8080,127.0.0.1")
    found = run("get", "k").stderr
    assert given.startswith(f"zraft: --endpoints{says}")
    assert found.startswith(f"zraft: ZRAFT_ENDPOINTS{says}")
    assert [right in one for one in (given, found)] == [True, True]


def test_only_a_node_that_leads_hands_over_itself(serve: Serve) -> None:
    leading = ask_leader(serve(TransferResult("node-2", 8)), "transfer", "--from-self")
    assert (leading.exit_code, leading.stdout, leading.stderr) == (0, "node-2 leads term 8\n", "")
    refusal = ErrorResult("NotLeader", "this node does not lead")
    following = serve(refusal)
    result = ask_leader(following, "transfer", "--from-self")  # before a stop: nothing to do is no error
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{following.endpoint} does not lead\n", "")
    document = json.loads(ask_leader(following, "transfer", "--from-self", "--output", "json").stdout)
    assert document == {"leader": None, "term": None}
    assert following.requests == [TransferLeadership("")] * 2
    assert ask_leader(serve(refusal), "transfer", timeout=UNANSWERED_S).exit_code == 3
    unready = serve(ErrorResult("Unavailable", "nobody is ready"))
    assert ask_leader(unready, "transfer", "--from-self", timeout=UNANSWERED_S).exit_code == 3


def ask_leader(node: ScriptedNode, *arguments: str, timeout: float = ANSWERED_S) -> Result:
    return run("leader", *arguments, "--endpoints", node.endpoint, "--timeout", str(timeout))


def test_a_write_without_an_answer_has_an_unknown_outcome() -> None:
    with ScriptedNode(lambda _: None) as node:
        assert ask(node, "put", "k", "v", timeout=UNANSWERED_S).exit_code == 4


def test_a_value_without_end_is_refused_in_time(serve: Serve, tmp_path: Path) -> None:
    result = ask(serve(DONE), "put", "k", "--file", "/dev/zero")
    assert (result.exit_code, "at most 1572864 bytes" in result.stderr) == (5, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["put"],
        ["get"],
        ["get", "k", "--consistency", "eventual"],
        ["get", "k", "--endpoints", "nonsense"],
        ["get", "k", "--timeout", "0"],
        ["get", "k", "--timeout", "86401"],
        ["put", "k", "v", "--file", "-"],
        ["put", "k", "--file", "missing"],
        ["put", "k", "v", "--expected-revision", "-1"],
        ["status", "--output", "yaml"],
        ["dev", "up", "--nodes", "0"],
        ["dev", "kill"],
        ["dev", "kill", "node-1", "--actor", "nobody"],
        ["node", "--port", "x"],
        ["node", "--port", "0"],
        ["node", "--config", "missing"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["put", "a", "b", "c"], "Got unexpected extra argument (c). See `zraft put --help`."),
        (["put", "k", "--file", "missing"], "'missing': No such file or directory. See `zraft put --help`."),
        (["put"], "Missing argument 'KEY'. See `zraft put --help`."),
        (["get", "k", "--revisio", "1", "--nonsens"], "? See `zraft get --help`."),
    ],
)
def test_an_error_of_usage_is_whole_sentences(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, says in result.stderr, result.stderr.count("\n")) == (2, True, 1), result.stderr


@pytest.mark.parametrize(
    ("error", "exit_code", "says"),
    [
        (KeyboardInterrupt(), 130, ""),
        (RuntimeError("surprise"), 70, "RuntimeError: surprise"),
        (PermissionError(13, "Permission denied", "here"), 71, "Permission denied: 'here'"),
    ],
)
def test_nothing_else_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, exit_code: int, says: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("zraft.client.Client.get", fail)
    result = run("get", "k")
    assert (result.exit_code, says in result.stderr) == (exit_code, True)


def test_endpoints_come_from_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZRAFT_ENDPOINTS", serve(DONE).endpoint)
    assert run("put", "k", "v").exit_code == 0


def test_a_client_command_loads_nothing_of_a_node(serve: Serve) -> None:
    script = (
        "import sys; from zraft.cli import zraft\n"
        "try: zraft(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end\n"
        "print(*sorted(name for name in sys.modules if name in ('lmdb', 'prometheus_client', 'zraft.actors')))"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, "put", "k", "v", "--endpoints", serve(DONE).endpoint],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    assert output == b"revision 3\n\n"


HOLDINGS = {"compacted_revision": 2, "snapshot_index": 7, "log_bytes": 1 << 20, "state_bytes": 1 << 19}
HOLDINGS |= {"snapshots_bytes": 2 << 20, "supported_version": 2}


def status_of(name: str, leader: str, term: int, *peers: tuple[str, str], **more: Any) -> StatusResult:
    infos = tuple(PeerInfo(peer, peer.encode().hex(), "127.0.0.1:7090", endpoint) for peer, endpoint in peers)
    state = "leader" if name == leader else "follower"
    return StatusResult(name, state, term, leader, infos, 9, 8, name.encode().hex(), CLUSTER.hex(), 1, 10, 3, **more)


@pytest.fixture
def pair() -> Iterator[tuple[ScriptedNode, ScriptedNode]]:
    """Two of three members; the third one, at port 1, is down. The first one has not heard of the newest leader."""
    nodes: list[ScriptedNode] = []

    def one(request: Request) -> Response:
        assert request == ClusterStatus()
        return status_of("node-1", "node-3", 4, ("node-2", nodes[1].endpoint), ("node-3", "127.0.0.1:1"), **HOLDINGS)

    def two(request: Request) -> Response:
        assert request == ClusterStatus()
        peers = (("node-1", nodes[0].endpoint), ("node-3", "127.0.0.1:1"))
        return status_of("node-2", "node-2", 5, *peers, installing_held_bytes=3 << 20, installing_bytes=9 << 20)

    nodes += [ScriptedNode(one), ScriptedNode(two)]
    yield nodes[0], nodes[1]
    for node in nodes:
        node.kill()


def test_status_finds_all_members_from_one_endpoint(pair: tuple[ScriptedNode, ScriptedNode]) -> None:
    one, two = pair
    result = ask(one, "status", "--output", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert document["leader_id"] == "node-2"  # of the newest term
    assert document["members"][0] == {
        "name": "node-1",
        "node_id": "node-1",
        "state": "follower",
        "current_term": 4,
        "leader_id": "node-3",
        "peers": [
            {
                "node_id": "node-2",
                "member_id": "6e6f64652d32",
                "peer_address": "127.0.0.1:7090",
                "client_endpoint": two.endpoint,
                "voter": True,
            },
            {
                "node_id": "node-3",
                "member_id": "6e6f64652d33",
                "peer_address": "127.0.0.1:7090",
                "client_endpoint": "127.0.0.1:1",
                "voter": True,
            },
        ],
        "commit_index": 9,
        "last_applied": 8,
        "member_id": "6e6f64652d31",
        "cluster_id": CLUSTER.hex(),
        "first_log_index": 1,
        "last_log_index": 10,
        "revision": 3,
        "notice": "",
        "compacted_revision": 2,
        "snapshot_index": 7,
        "log_bytes": 1048576,
        "state_bytes": 524288,
        "snapshots_bytes": 2097152,
        "installing_held_bytes": 0,
        "installing_bytes": 0,
        "cluster_version": 1,
        "supported_version": 2,
        "swept_revision": 0,
    }
    assert document["members"][1]["node_id"] == "node-2"
    silent = {"endpoint": "127.0.0.1:1", "error": "127.0.0.1:1: no connection"}
    assert document["members"][2] == {"name": "node-3"} | silent


def test_status_is_a_table_for_people(pair: tuple[ScriptedNode, ScriptedNode]) -> None:
    one, two = pair
    # The second name of a node that was asked already makes no second member.
    endpoints = f"{one.endpoint},localhost:{one.port}"
    result = run("status", "--endpoints", endpoints, "--timeout", "1")
    rows = [line.split() for line in result.stdout.splitlines()]
    more = ["COMPACTED", "SNAPSHOT", "DISK", "VERSION", "NOTICE"]
    receives = ["receives", "a", "snapshot:", "3.0MiB", "of", "9.0MiB"]
    assert rows == [
        ["NODE", "ENDPOINT", "STATE", "TERM", "LEADER", "COMMIT", "APPLIED", "REVISION", *more],
        ["node-1", one.endpoint, "follower", "4", "node-3", "9", "8", "3", "2", "7", "3.5MiB", *["1", "of", "2"]],
        ["node-2", two.endpoint, "leader", "5", "node-2", "9", "8", "3", "-", "-", "0.0MiB", "1", *receives],
        ["node-3", "127.0.0.1:1", "silent", *"---------", "127.0.0.1:1:", "no", "connection"],
    ]


def test_a_member_that_nobody_can_locate_is_shown(serve: Serve) -> None:
    node = serve(status_of("node-1", "node-1", 1, ("node-2", "")))
    document = json.loads(ask(node, "status", "--output", "json").stdout)
    assert [member.get("node_id") for member in document["members"]] == ["node-1", None]
    unlocated = {"endpoint": "", "error": "node-2: where its clients connect is not known yet"}
    assert document["members"][1] == {"name": "node-2"} | unlocated
    # One of the silent endpoints may be it.
    result = run("status", "--output", "json", "--endpoints", f"{node.endpoint},127.0.0.1:1")
    told = [(member["name"], member.get("endpoint")) for member in json.loads(result.stdout)["members"]]
    assert told == [("node-1", None), (None, "127.0.0.1:1")]


def test_status_of_a_guess_shows_members_only(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    node = serve(status_of("node-1", "node-1", 1))
    monkeypatch.setattr("zraft.cli.connection.LOCAL_ENDPOINTS", ("127.0.0.1:1", node.endpoint))
    document = json.loads(run("status", "--output", "json").stdout)
    assert [member["node_id"] for member in document["members"]] == ["node-1"]


def test_status_without_a_leader_says_null(serve: Serve) -> None:
    document = json.loads(ask(serve(status_of("node-1", "", 1)), "status", "--output", "json").stdout)
    assert document["leader_id"] is None


def test_status_of_nobody_is_unavailable() -> None:
    result = run("status", "--endpoints", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no node answers" in result.stderr


def test_dev_without_a_cluster(tmp_path: Path) -> None:
    assert [run("dev", "down").exit_code, run("dev", "down").stdout] == [0, "no local cluster runs in .zraft\n"]
    result = run("dev", "kill", "leader", "--dir", str(tmp_path))
    assert (result.exit_code, "zraft dev up" in result.stderr) == (3, True)


def test_help_names_every_command_and_the_exit_codes() -> None:
    output = run("--help").stdout
    assert all(f"\n  {name} " in output for name in ("delete", "dev", "get", "node", "put", "status"))
    assert "\n    4    outcome unknown: it may have been done\n" in output
    assert run("--version").stdout.startswith("zraft ")


@pytest.mark.parametrize("module", ["zraft", "zraft.cli"])
def test_the_command_is_a_module_too(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "get", "--help"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.startswith("Usage: zraft get ")
