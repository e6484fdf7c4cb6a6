"""``zraft member`` against a scripted node."""

import itertools
import json
import time

import pytest

from tests.cli.asking import Serve, run
from tests.wire.scripted import CLUSTER, ScriptedNode
from zraft.protocol.requests import ChangeMember, ClusterStatus, Request
from zraft.protocol.responses import MemberInfo, MembersResult, PeerInfo, Response, StatusResult

IDS = {"node-1": 0xA, "node-2": 0x8B73427520CE4A7B}


def members(*names: str, index: int = 5) -> MembersResult:
    return MembersResult(index, tuple(MemberInfo(name, IDS[name], True, "10.0.0.1:7080") for name in names))


def answer(request: Request) -> Response:
    match request:
        case ClusterStatus():
            peers = (PeerInfo("node-2", f"{IDS['node-2']:016x}", "127.0.0.1:7090", ""),)
            own = f"{IDS['node-1']:016x}"
            return StatusResult("node-1", "leader", 4, "node-1", peers, 9, 8, own, CLUSTER.hex(), 1, 10, 3)
        case ChangeMember("remove"):
            return members("node-1", index=6)
    return members("node-1", "node-2")


@pytest.fixture
def node(serve: Serve) -> ScriptedNode:
    found = serve(answer)
    found.members = members("node-1", "node-2")
    return found


def of(node: ScriptedNode, *arguments: str) -> str:
    result = run(*arguments, "--endpoints", node.endpoint)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_the_list_says_who_answers(node: ScriptedNode) -> None:
    assert [line.split() for line in of(node, "member", "list").splitlines()] == [
        ["NAME", "MEMBER", "ID", "PEER", "ADDRESS", "ROLE", "HEALTH", "LAG"],
        ["node-1", "000000000000000a", "10.0.0.1:7080", "voter", "answers", "2"],
        ["node-2", "8b73427520ce4a7b", "10.0.0.1:7080", "voter", "silent", "-"],
    ]


def knowing(serve: Serve, name: str, leader: str, term: int, index: int) -> ScriptedNode:
    """A member that tells its own, perhaps old, view: in this one all have the port 7000 + index."""
    state = "leader" if name == leader else "follower"
    own = f"{IDS[name]:016x}"
    node = serve(StatusResult(name, state, term, leader, (), 9, 8, own, CLUSTER.hex(), 1, 10, 3))
    node.members = MembersResult(
        index, tuple(MemberInfo(one, IDS[one], True, f"10.0.0.1:{7000 + index}") for one in IDS)
    )
    return node


def listed(*nodes: ScriptedNode) -> tuple[int, set[str], str]:
    """The index of the list that these nodes are asked for, its addresses, and what is said beside it."""
    result = run(
        "member", "list", "--output", "json", "--endpoints", ",".join(node.endpoint for node in nodes), "--timeout", "5"
    )
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    return document["index"], {one["peer_address"] for one in document["members"]}, result.stderr


def test_the_list_is_the_leaders_whoever_is_asked_first(serve: Serve) -> None:
    old, new = knowing(serve, "node-1", "node-1", 4, 0), knowing(serve, "node-2", "node-2", 5, 22)
    assert listed(old, new) == listed(new, old) == (22, {"10.0.0.1:7022"}, "")
    # What a leader of before has in its log beyond that was never committed.
    ahead = knowing(serve, "node-1", "node-1", 4, 30)
    assert listed(ahead, new) == (22, {"10.0.0.1:7022"}, "")


def test_without_a_leader_the_list_is_the_newest_and_says_so(serve: Serve) -> None:
    old, new = knowing(serve, "node-1", "", 5, 0), knowing(serve, "node-2", "node-3", 5, 22)
    index, addresses, said = listed(old, new)
    assert (index, addresses) == (22, {"10.0.0.1:7022"})
    assert said == "zraft: no leader answers: these are the newest members that any of the others knows\n"


def test_a_member_has_one_id_in_one_form(node: ScriptedNode) -> None:
    listed = json.loads(of(node, "member", "list", "--output", "json"))["members"]
    [told] = json.loads(of(node, "status", "--output", "json"))["members"][:1]
    changed = json.loads(of(node, "member", "add", "node-1", "10.0.0.1:7080", "--output", "json"))["members"]
    ids = ["000000000000000a", "8b73427520ce4a7b"]
    assert [one["member_id"] for one in listed] == ids
    assert [told["member_id"], told["peers"][0]["member_id"]] == ids
    assert [one["member_id"] for one in changed] == ids


@pytest.mark.parametrize(
    ("arguments", "says", "left"),
    [
        (["add", "node-1", "10.0.0.1:7080"], "node-1 is a voter\n", ["node-1", "node-2"]),
        (
            ["add", "node-1", "10.0.0.9:7080", "--force"],
            "node-1 is a voter; its address is 10.0.0.9:7080, and was 10.0.0.1:7080\n",
            ["node-1", "node-2"],
        ),
        (["promote", "node-2"], "node-2 is a voter\n", ["node-1", "node-2"]),
        (["remove", "node-2"], "node-2 is no member any more\n", ["node-1"]),
        (["replace", "node-2", "node-1", "10.0.0.1:7080"], "node-1 has taken the place of node-2\n", ["node-1"]),
    ],
)
def test_a_change_is_a_sentence_or_the_members_after_it(
    node: ScriptedNode, arguments: list[str], says: str, left: list[str]
) -> None:
    assert of(node, "member", *arguments) == says
    document = json.loads(of(node, "member", *arguments, "--output", "json"))
    assert (document["index"], [one["name"] for one in document["members"]]) == (7 - len(left), left)
    assert document["members"][0].keys() == {"name", "member_id", "peer_address", "role"}


def test_a_node_is_not_replaced_by_itself() -> None:
    result = run("member", "replace", "node-2", "node-2", "10.0.0.2:7080")
    assert (result.exit_code, "run zraft member remove node-2" in result.stderr) == (2, True)


def test_who_is_no_member_is_not_replaced(node: ScriptedNode) -> None:
    """Else a typing error would leave the dead one a voter, and say that it is gone."""
    result = run("member", "replace", "nod-2", "node-3", "10.0.0.3:7080", "--endpoints", node.endpoint)
    assert (result.exit_code, result.stderr) == (5, "zraft: there is no member nod-2: the members are node-1, node-2\n")


REPLACE = ("member", "replace", "node-2", "node-1", "10.0.0.1:7080")


def test_a_replacement_may_be_repeated_when_it_is_done(node: ScriptedNode) -> None:
    """As by somebody whose connection broke just before the answer."""
    node.members = members("node-1")
    assert of(node, *REPLACE) == "node-1 has taken the place of node-2\n"


LEARNER = MemberInfo("node-1", IDS["node-1"], False, "10.0.0.1:7080")


def test_who_is_gone_is_not_replaced_by_one_that_is_no_voter(node: ScriptedNode) -> None:
    node.members = MembersResult(5, (LEARNER,))
    result = run(*REPLACE, "--endpoints", node.endpoint)
    assert (result.exit_code, result.stderr) == (5, "zraft: there is no member node-2: the members are node-1\n")


def test_who_takes_a_place_has_the_rest_of_the_time_to_catch_up(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()

    def pause(_: float) -> None:
        if next(looks) == 5:
            node.members = members("node-1", "node-2")

    node.members = MembersResult(5, (LEARNER, *members("node-2").members))
    monkeypatch.setattr(time, "sleep", pause)
    assert of(node, *REPLACE) == "node-1 has taken the place of node-2\n"
    assert next(looks) > 5


@pytest.mark.parametrize("command", [("add",), ("replace", "node-2")])
@pytest.mark.parametrize(
    ("name", "address", "says"),
    [
        ("node-3", "y", "the address is 'y', but must be host:port"),
        ("node-3", "10.0.0.3:65534", "a port within 1..65533"),
        ("bad name", "10.0.0.3:7080", "this one is 'bad name'"),
    ],
)
def test_nobody_waits_for_what_can_be_no_member(command: tuple[str, ...], name: str, address: str, says: str) -> None:
    with ScriptedNode(answer) as node:
        result = run("member", *command, name, address, "--endpoints", node.endpoint, "--within", "86400")
        assert (result.exit_code, node.headers) == (5, [])
    assert result.stderr.startswith("zraft: rejected: ")
    assert says in result.stderr
