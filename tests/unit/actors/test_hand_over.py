"""The gateway's part in leadership transfer: commands that wait for election, and the two parts of a stop."""

import pytest

from tests.unit.actors.gateway_stage import ME, Node, Trio
from zraft.actors.gateway_peers import GatewayPeers
from zraft.actors.hand_over import CALM_SECONDS
from zraft.errors import InvalidArgument, Unavailable, Unknown
from zraft.protocol.codec import encode
from zraft.protocol.local import NodeGroup, RoleGroup, TransferAnswer, TransferRequest
from zraft.protocol.requests import ClusterStatus, TransferLeadership
from zraft.protocol.responses import ErrorResult, TransferResult
from zraft.store.page import Group

OTHER = 0xB


def asked(trio: Trio, to: str) -> TransferRequest:
    request = trio.hear("election")
    assert isinstance(request, TransferRequest)
    assert request.to == to
    return request


def test_a_command_is_answered_when_election_has_handed_over(node: Node) -> None:
    trio = node.start_trio()
    node.ask(TransferLeadership("node-2"))
    trio.say("election", TransferAnswer(asked(trio, "node-2").request, "node-2", 6))
    assert node.answer() == (b"1", TransferResult("node-2", 6))


def test_why_nobody_took_over_is_passed_on(node: Node) -> None:
    trio = node.start_trio()
    node.ask(TransferLeadership())
    trio.say("election", TransferAnswer(asked(trio, "").request, "", 0, InvalidArgument.code, "alone"))
    assert node.answer() == (b"1", ErrorResult(InvalidArgument.code, "alone"))


def test_a_command_without_an_answer_in_time_ends_as_unknown(node: Node) -> None:
    trio = node.start_trio()
    node.ask(TransferLeadership(), timeout_ms=50)
    asked(trio, "")
    assert node.error() == Unknown.code


def test_a_command_ends_as_unknown_when_the_trio_is_restarted(node: Node) -> None:
    trio = node.start_trio()
    node.ask(TransferLeadership())
    asked(trio, "")
    node.page.publish(Group.NODE, encode(NodeGroup(2)))
    assert node.error() == Unknown.code


def test_a_leader_that_is_stopped_serves_until_it_has_handed_over_and_then_refuses(node: Node) -> None:
    trio = node.start_trio()
    node.ask(ClusterStatus())
    node.answer()
    node.stop.request()
    request = asked(trio, "")
    node.ask(ClusterStatus())
    assert not isinstance(node.answer()[1], ErrorResult)
    node.page.publish(Group.ROLE, encode(RoleGroup(6, "follower", OTHER)))
    trio.say("election", TransferAnswer(request.request, "node-2", 6))
    node.finish()


@pytest.mark.parametrize("role", [RoleGroup(5, "follower", OTHER), None])
def test_who_does_not_lead_hands_nothing_over(node: Node, role: RoleGroup | None) -> None:
    trio = node.start_trio()
    if role is None:
        node.page.clear(Group.ROLE)
    else:
        node.page.publish(Group.ROLE, encode(role))
    node.ask(ClusterStatus())
    node.answer()
    node.finish()
    assert not trio.heard("election")


def test_requests_are_refused_while_the_last_answers_leave(node: Node) -> None:
    node.start_trio()
    hand_over = node.actor._hand_over
    hand_over.begin_stop(ME, RoleGroup(5, "follower", OTHER), 1.0)
    assert not hand_over.refuses()
    hand_over.is_stopped(1.0)
    assert hand_over.refuses()
    node.ask(TransferLeadership())
    assert node.error() == Unavailable.code


def test_a_stop_waits_for_the_next_request_of_who_has_just_been_answered(node: Node) -> None:
    node.start_trio()
    node.ask(ClusterStatus())
    node.answer()
    asked_at = node.actor._clients._asked
    hand_over = node.actor._hand_over
    hand_over.begin_stop(ME, RoleGroup(5, "follower", OTHER), asked_at + 0.001)
    assert not hand_over.is_stopped(asked_at + 0.001)
    assert not hand_over.is_stopped(asked_at + CALM_SECONDS)
    assert hand_over.is_stopped(asked_at + CALM_SECONDS + 0.001)


def test_a_hand_over_that_takes_too_long_does_not_hold_up_the_stop(node: Node) -> None:
    trio = node.start_trio()
    node.stop.request()
    asked(trio, "")
    node.finish()
    assert node.actor._hand_over.refuses()


def test_a_preferred_member_is_handed_over_to_and_nobody_is_answered(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio = node.start_trio()
    successors = iter(["node-2"])
    monkeypatch.setattr(GatewayPeers, "successor", lambda *_: next(successors, ""))
    request = asked(trio, "node-2")
    trio.say("election", TransferAnswer(request.request, "node-2", 6))
    node.ask(ClusterStatus())
    assert node.answer()[0] == b"1"
