"""What a gateway takes when space is short: the leader's decides for the cluster, a follower's for itself.

And when the storage is silent, from which all results come, or the node may be cut off.
"""

import pytest

from tests.unit.actors.gateway_stage import LEADING, ME, Node
from tests.waiting import wait_until
from zraft.actors import beat
from zraft.core.room import ENOUGH, EXHAUSTED, LACKS, RESERVE
from zraft.errors import ResourceExhausted, Unavailable
from zraft.protocol import codec
from zraft.protocol.local import RoleGroup, StorageGroup
from zraft.protocol.requests import Batch, ClusterStatus, Compact, Delete, Put, ReadBackup, Request
from zraft.protocol.responses import ErrorResult, StatusResult
from zraft.store.page import Group

WAIT_S = 10.0
FOLLOWING = RoleGroup(5, "follower", ME + 1)
GROWING: tuple[Request, ...] = (Put(b"k", b"v"), Batch((Delete(b"k"), Put(b"k", b"v"))))
OTHERS: tuple[Request, ...] = (Delete(b"k"), Batch((Delete(b"k"),)), Compact(1))


def publish(node: Node, role: RoleGroup, level: int) -> None:
    """The gateway must have seen both when this returns."""
    node.page.publish(Group.ROLE, codec.encode(role))
    node.page.publish(Group.STORAGE, codec.encode(StorageGroup(0, 5, 1, 3, 3, 3, 2, level)))
    for _ in range(2):  # it looks at the page, and then at what has come
        assert isinstance(status(node), StatusResult)


def status(node: Node) -> object:
    node.ask(ClusterStatus(), b"marker")
    name, answer = node.answer()
    assert name == b"marker"
    return answer


@pytest.mark.parametrize("request_", OTHERS)
def test_at_the_reserve_a_leader_takes_what_does_not_grow(node: Node, request_: Request) -> None:
    trio = node.start_trio()
    publish(node, LEADING, RESERVE)
    node.ask(request_)
    assert not trio.hear_proposal().grows


@pytest.mark.parametrize("request_", GROWING)
def test_at_the_reserve_a_leader_refuses_growth_until_there_is_room(node: Node, request_: Request) -> None:
    trio = node.start_trio()
    publish(node, LEADING, RESERVE)
    node.ask(request_)
    assert node.answer() == (b"1", ErrorResult(ResourceExhausted.code, LACKS[RESERVE]))
    publish(node, LEADING, ENOUGH)
    node.ask(request_)
    assert trio.hear_proposal().grows


@pytest.mark.parametrize("request_", GROWING + OTHERS)
def test_a_leader_without_any_room_refuses_all_writes(node: Node, request_: Request) -> None:
    node.start_trio()
    publish(node, LEADING, EXHAUSTED)
    node.ask(request_)
    assert node.answer() == (b"1", ErrorResult(ResourceExhausted.code, LACKS[EXHAUSTED]))


def test_a_follower_at_its_reserve_leaves_it_to_the_leader(node: Node) -> None:
    trio = node.start_trio()
    publish(node, FOLLOWING, RESERVE)
    node.ask(Put(b"k", b"v"))
    assert isinstance(status(node), StatusResult)  # it was not refused
    publish(node, LEADING, ENOUGH)
    assert trio.hear_proposal().grows


def test_a_follower_without_any_room_sends_clients_elsewhere(node: Node) -> None:
    """Its own storage would never give it a result; but the write may well be possible."""
    node.start_trio()
    publish(node, FOLLOWING, EXHAUSTED)
    node.ask(Put(b"k", b"v"))
    assert node.answer() == (b"1", ErrorResult(Unavailable.code, f"node-1: {LACKS[EXHAUSTED]}"))


@pytest.mark.parametrize("level", [RESERVE, EXHAUSTED])
def test_a_status_says_what_to_do(node: Node, level: int) -> None:
    node.start_trio()
    publish(node, LEADING, level)
    answer = status(node)
    assert isinstance(answer, StatusResult)
    assert answer.notice == LACKS[level]


def test_while_storage_is_silent_no_write_is_taken(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # It would be proposed all the same, and its client told after its time that nobody knows what came of it.
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()  # it has given no sign yet, and perhaps is only starting
    monkeypatch.setattr(beat, "SILENT_SECONDS", 0.1)
    node.page.clear(Group.STORAGE_BEAT)

    def is_refused() -> bool:
        node.ask(Put(b"k", b"v"), b"2", timeout_ms=100)
        _, answer = node.answer()
        return isinstance(answer, ErrorResult) and "storage does not answer" in answer.message

    wait_until(is_refused, WAIT_S, "a refusal")
    monkeypatch.setattr(beat, "SILENT_SECONDS", 1e9)
    wait_until(lambda: not is_refused(), WAIT_S, "writes to be taken again")


def test_a_node_that_follows_no_leader_gives_no_backup(node: Node) -> None:
    # One that is cut off might give the same old one for weeks, and all would seem well.
    node.start_trio()
    publish(node, RoleGroup(5, "follower", 0), ENOUGH)
    node.ask(ReadBackup(b"one", 0))
    _, answer = node.answer()
    assert isinstance(answer, ErrorResult)
    assert "follows no leader" in answer.message
