"""``zraft health``: each member is asked for a linearizable read, and the exit code is the cluster's."""

import json
from collections.abc import Callable

import pytest

from tests.cli.asking import Serve, ask, run
from tests.wire.scripted import CLUSTER
from zraft.protocol.requests import ClusterStatus, Get, Request
from zraft.protocol.responses import ErrorResult, GetResult, PeerInfo, Response, StatusResult

ABSENT = GetResult(False, None, None, 3)
UNAVAILABLE = ErrorResult("Unavailable", "there is no leader")


def member(answer: Response, *peers: str, name: str = "node-1", notice: str = "") -> Callable[[Request], Response]:
    """A node that answers reads so; its peers are named by their endpoints."""
    infos = tuple(PeerInfo(f"peer-{peer}", peer, "127.0.0.1:7090", peer) for peer in peers)
    status = StatusResult(name, "follower", 4, "node-1", infos, 9, 8, name, CLUSTER.hex(), 1, 10, 3, notice)

    def serve(request: Request) -> Response:
        assert request in (ClusterStatus(), Get(b"zraft"))
        return status if request == ClusterStatus() else answer

    return serve


def test_a_cluster_serves_if_any_member_does(serve: Serve) -> None:
    cut_off = serve(member(UNAVAILABLE, name="node-2"))
    one = serve(member(ABSENT, cut_off.endpoint, "127.0.0.1:1"))
    result = ask(one, "health", "--output", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, document["serves"]) == (0, "", True)
    assert [found["node_id"] for found in document["members"]] == ["node-1", "node-2", "peer-127.0.0.1:1"]
    assert [(found["name"], found["endpoint"], found["serves"], found["reason"]) for found in document["members"]] == [
        ("node-1", one.endpoint, True, ""),
        ("node-2", cut_off.endpoint, False, f"{cut_off.endpoint}: there is no leader"),
        ("peer-127.0.0.1:1", "127.0.0.1:1", False, "127.0.0.1:1: no connection"),
    ]
    *lines, last = ask(one, "health").stdout.splitlines()
    assert last == (
        f"Not well: node-2 does not serve ({cut_off.endpoint}: there is no leader); "
        "peer-127.0.0.1:1 does not serve (127.0.0.1:1: no connection)"
    )
    assert [line.split()[:3] for line in lines] == [
        ["NODE", "ENDPOINT", "SERVES"],
        ["node-1", one.endpoint, "yes"],
        ["node-2", cut_off.endpoint, "no"],
        ["peer-127.0.0.1:1", "127.0.0.1:1", "no"],
    ]


def test_all_of_them_are_well_or_it_ends_with_7(serve: Serve) -> None:
    one = serve(member(ABSENT))
    result = ask(one, "health", "--all")
    assert (result.exit_code, result.stderr, "Not well" in result.stdout) == (0, "", False)
    assert json.loads(ask(one, "health", "--all", "--output", "json").stdout)["well"]
    two = serve(member(ABSENT, "127.0.0.1:1"))
    result = ask(two, "health")
    says = "Not well: peer-127.0.0.1:1 does not serve (127.0.0.1:1: no connection)"
    assert (result.exit_code, says in result.stdout) == (0, True)
    result = ask(two, "health", "--all", "--output", "json")
    assert (result.exit_code, result.stderr) == (
        7,
        "zraft: the cluster serves, but not all of its members are well\n",
    )
    document = json.loads(result.stdout)
    assert (document["serves"], document["well"]) == (True, False)
    assert ask(serve(member(UNAVAILABLE)), "health", "--all").exit_code == 3


def test_who_could_not_be_asked_is_not_said_not_to_serve(serve: Serve) -> None:
    result = ask(serve(member(ABSENT, "")), "health", "--all")
    says = "Not well: could not ask peer-: where its clients connect is not known yet"
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (7, says)


def test_each_member_answers_for_itself(serve: Serve) -> None:
    """A member that refuses does not pass for one that serves because it names a leader that does."""
    leader = serve(member(ABSENT))
    cut_off = serve(member(UNAVAILABLE, name="node-2"))
    cut_off.leader = leader.endpoint
    assert ask(cut_off, "health").exit_code == 3
    assert leader.requests == []


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_cluster_that_can_not_serve_ends_with_3(serve: Serve, output: str) -> None:
    result = ask(serve(member(UNAVAILABLE, notice="the disk is full")), "health", "--output", output)
    assert (result.exit_code, "the disk is full" in result.stdout) == (3, True)
    assert result.stderr == "zraft: no member serves: a majority of them must be up and reach each other\n"


def test_a_member_that_serves_may_complain(serve: Serve) -> None:
    result = ask(serve(member(ABSENT, notice="the disk is nearly full")), "health")
    assert (result.exit_code, "node-1 serves, but complains (the disk is nearly full)" in result.stdout) == (0, True)
    result = ask(serve(member(ABSENT, notice="the disk is nearly full")), "health", "--all")
    assert (result.exit_code, "the disk is nearly full" in result.stdout) == (7, True)


def test_health_of_nobody_is_unavailable() -> None:
    result = run("health", "--endpoints", "127.0.0.1:1")
    assert (result.exit_code, result.stdout, "no node answers" in result.stderr) == (3, "", True)
