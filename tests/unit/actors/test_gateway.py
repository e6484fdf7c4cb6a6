"""The gateway actor between a scripted trio and a client."""

import threading
from collections import deque
from typing import Any

import pytest

from tests.unit.actors.gateway_stage import CLUSTER, ME, Node
from tests.waiting import wait_until
from zraft.actors.clock import clock
from zraft.core.room import ENOUGH, RESERVE
from zraft.errors import CorruptState, NotLeader, ResourceExhausted, Unavailable, Unknown
from zraft.protocol import codec
from zraft.protocol.entries import Origin
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    CommitGroup,
    LeaseGroup,
    NodeGroup,
    Propose,
    Registered,
    Results,
    RoleGroup,
    StorageGroup,
    WaitApplied,
)
from zraft.protocol.peer import Forward, GatewayMessage, NotProposed, ReadIndex, ReadIndexAnswer
from zraft.protocol.requests import PROTOCOL_VERSION, ClusterStatus, Get, ListMembers, Put
from zraft.protocol.responses import GetResult, PutResult, ResponseHeader
from zraft.store.page import Group

OTHER = ME + 1
DONE = PutResult(True, None, 9, 4, 4)


def let_arrive(node: Node, monkeypatch: pytest.MonkeyPatch, arrived: deque[Any]) -> None:
    """What comes from the other node's gateway is what is put there."""
    monkeypatch.setattr(
        node.actor._peers, "arrived", lambda events, now: [(OTHER, arrived.popleft())] if arrived else []
    )


def results(proposal: Propose, *answers: PutResult) -> Results:
    return Results(proposal.origin, 9, codec.encode(list(answers)))


def test_beside_a_trio_that_does_not_run_nothing_is_served(node: Node) -> None:  # S13
    for request in (Put(b"k", b"v"), Get(b"k"), Get(b"k", serializable=True)):
        node.ask(request)
        assert node.error() == Unavailable.code
    node.start_trio()
    node.ask(Get(b"k", serializable=True))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))
    node.page.publish(Group.NODE, codec.encode(NodeGroup(0)))  # and its state can still be read
    for request in (Put(b"k", b"v"), Get(b"k"), Get(b"k", serializable=True)):
        node.ask(request)
        assert node.error() == Unavailable.code


def test_while_a_trio_starts_again_the_members_are_not_read_from_the_state(node: Node) -> None:
    trio = node.start_trio()
    node.page.clear(Group.IDENTITY)  # as storage does when it starts
    node.ask(ListMembers())
    assert node.error() == "Unavailable"
    node.ask(Put(b"k", b"v"))  # and the gateway goes on
    assert trio.hear_proposal().payload


def test_a_write_is_proposed_once_and_answered_by_the_own_storage(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    assert (proposal.term, proposal.grows, proposal.origin.member) == (5, True, ME)
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)
    assert codec.response_header.decode(node.header) == ResponseHeader(
        PROTOCOL_VERSION, CLUSTER, "node-1", "node-1", f"127.0.0.1:{node.settings.port}", 5
    )


def test_another_incarnations_message_is_dropped(node: Node) -> None:  # S1
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    trio.say("storage", results(proposal, PutResult(True, None, 1, 1, 1)), incarnation=77)
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)


def test_what_was_refused_is_proposed_again_under_another_number(node: Node) -> None:  # S9
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    first = trio.hear_proposal()
    trio.say("replication", NotProposed(first.origin, NotLeader.code, "leads term 6"))
    second = trio.hear_proposal()
    assert (second.origin.number, second.payload) == (first.origin.number + 1, first.payload)
    trio.say("storage", AppliedTerm(5))
    trio.say("storage", results(first, PutResult(True, None, 1, 1, 1)))
    trio.say("storage", results(second, DONE))
    assert node.answer() == (b"1", DONE)


def test_a_refusal_counts_only_if_it_comes_from_who_was_asked(  # S9
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    told: list[GatewayMessage] = []
    others = proposal.origin, Origin(OTHER + 1, 0, 7, 1)
    arrived = deque(NotProposed(origin, ResourceExhausted.code, "full") for origin in others)
    monkeypatch.setattr(node.actor._peers, "send", lambda member, message: told.append(message))
    let_arrive(node, monkeypatch, arrived)
    wait_until(lambda: not arrived, 10, "the refusals to be taken")
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)
    assert not any(isinstance(message, NotProposed) for message in told)  # nor is one passed on in our name


def test_a_copy_of_what_another_gateway_sent_is_neither_made_nor_refused(  # S9
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio = node.start_trio()
    told: list[NotProposed] = []
    arrived: deque[Forward] = deque()

    def hear(member: int, message: GatewayMessage) -> None:
        if isinstance(message, NotProposed):  # and no greeting
            told.append(message)

    def have(space: int) -> None:
        node.page.publish(Group.STORAGE, codec.encode(StorageGroup(0, 5, 1, 3, 3, 3, 2, space)))
        wait_until(lambda: node.actor._hints.space() == space, 10, "the gateway to see it")

    monkeypatch.setattr(node.actor._peers, "send", hear)
    let_arrive(node, monkeypatch, arrived)
    first, second = (Forward(5, Origin(OTHER, 0, 7, number), True, b"payload") for number in (1, 2))
    have(RESERVE)
    arrived.append(first)
    wait_until(lambda: told, 10, "a refusal")
    have(ENOUGH)
    arrived += [first, second, second]
    assert trio.hear_proposal().origin == second.origin
    wait_until(lambda: not arrived, 10, "the copy to be looked at")
    node.ask(Put(b"k", b"v"))
    assert trio.hear_proposal().origin.member == ME
    assert [message.origin for message in told] == [first.origin]


def test_what_could_not_be_sent_is_proposed_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:  # S9
    """It certainly was not executed: to leave its clients to their deadlines would make it unknown to them."""
    trio = node.start_trio()
    propose, leaves = node.actor._trio.propose, iter([False])
    monkeypatch.setattr(node.actor._trio, "propose", lambda proposal: next(leaves, True) and propose(proposal))
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    assert proposal.origin.number == 2
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)


def test_what_another_gateway_sent_and_could_not_be_passed_on_is_refused(  # S9
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.start_trio()
    told: list[GatewayMessage] = []
    arrived = deque([Forward(5, Origin(OTHER, 0, 7, 1), True, b"payload")])
    monkeypatch.setattr(node.actor._trio, "propose", lambda proposal: False)
    monkeypatch.setattr(node.actor._peers, "send", lambda member, message: told.append(message))
    let_arrive(node, monkeypatch, arrived)
    wait_until(
        lambda: any(isinstance(one, NotProposed) and one.code == NotLeader.code for one in told), 10, "a refusal"
    )


def test_what_replication_refuses_is_told_to_the_gateway_that_sent_it(  # S9
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio = node.start_trio()
    told: list[tuple[int, GatewayMessage]] = []
    monkeypatch.setattr(node.actor._peers, "send", lambda member, message: told.append((member, message)))
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()  # so there is a way back
    refusal = NotProposed(Origin(OTHER, 0, 7, 1), NotLeader.code, "leads term 6")
    trio.say("replication", refusal)
    wait_until(lambda: (OTHER, refusal) in told, 10, "it to be passed on")


def test_when_the_trio_restarts_what_was_sent_is_unknown_and_the_rest_goes_on(node: Node) -> None:
    trio = node.start_trio()
    for number in range(4):
        node.ask(Put(b"sent", b"v"), b"sent %d" % number)
        trio.hear_proposal()
    node.ask(Put(b"kept", b"v"), b"kept")
    node.ask(ClusterStatus(), b"marker")
    assert node.answer()[0] == b"marker"
    node.page.publish(Group.NODE, codec.encode(NodeGroup(0)))
    assert {node.error() for _ in range(4)} == {Unknown.code}
    trio = node.start_trio(incarnation=2)
    trio.say("storage", results(trio.hear_proposal(), DONE))
    assert node.answer() == (b"kept", DONE)


def test_a_storage_that_forgot_the_gateway_makes_what_was_sent_unknown(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()
    trio.say("storage", Registered(True))
    assert node.error() == Unknown.code


def test_a_read_waits_until_its_index_is_applied(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)


def test_the_commit_index_of_a_read_is_loaded_after_its_round(node: Node) -> None:  # S10, trap 41
    trio = node.start_trio()
    node.ask(Get(b"k"))
    request = trio.hear_round_request()
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 8)))
    trio.confirm_round(request)
    assert trio.hear("storage") == WaitApplied(8)


def test_under_a_lease_a_read_asks_nobody(node: Node) -> None:  # S12
    node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(LeaseGroup(5, clock() + 60)))
    node.ask(Get(b"k"))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_the_commit_index_of_a_read_under_a_lease_is_not_one_from_before(node: Node) -> None:  # S12, trap 41
    trio = node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(LeaseGroup(5, clock() + 60)))
    node.ask(Get(b"k"))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    node.ask(Get(b"k"))
    assert trio.hear("storage") == WaitApplied(7)


@pytest.mark.parametrize("lease", [LeaseGroup(5, 0.0), LeaseGroup(4, 1e12)], ids=["ended", "of an older term"])
def test_without_a_valid_lease_a_read_asks_for_a_round(node: Node, lease: LeaseGroup) -> None:  # S12
    trio = node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(lease))
    node.ask(Get(b"k"))
    trio.confirm_round(trio.hear_round_request())
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_behind_another_leader_a_read_asks_its_gateway_until_that_can_be_told_and_answers(  # S10
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    trio = node.start_trio()
    asked: list[ReadIndex] = []
    arrived: deque[ReadIndexAnswer] = deque()

    def has_link(member: int, message: GatewayMessage) -> bool:
        if isinstance(message, ReadIndex):  # and no greeting
            assert member == OTHER
            asked.append(message)
        return len(asked) > 1

    monkeypatch.setattr(node.actor._peers, "send", has_link)
    let_arrive(node, monkeypatch, arrived)
    node.page.publish(Group.ROLE, codec.encode(RoleGroup(5, "follower", OTHER)))
    wait_until(lambda: node.actor._hints.role() == RoleGroup(5, "follower", OTHER), 10, "the gateway to see it")
    node.ask(Get(b"k"))
    wait_until(lambda: len(asked) == 2, 10, "the question, which could not be sent at first")
    arrived.append(ReadIndexAnswer(asked[1].request, 5, 7))
    assert trio.hear("storage") == WaitApplied(7)
    node.replace_state(7)
    trio.say("storage", Applied(7))
    assert node.answer() == (b"1", GetResult(False, None, None, 6))


def test_a_storage_that_forgot_the_gateway_forgot_its_waits_and_reads_are_asked_again(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)
    trio.say("storage", Registered(True))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 3)))  # in truth it never goes back
    trio.confirm_round(trio.hear_round_request())
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_a_read_is_served_when_storage_has_applied_its_index(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)
    node.replace_state(7)
    trio.say("storage", Applied(7))
    assert node.answer() == (b"1", GetResult(False, None, None, 6))


def test_each_deadline_is_kept(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"), timeout_ms=50)
    node.ask(Put(b"k", b"v"), timeout_ms=50)
    trio.hear_round_request()
    trio.hear_proposal()
    assert {node.error(), node.error()} == {Unavailable.code, Unknown.code}


def test_requests_in_flight_are_answered_before_the_gateway_stops(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    node.stop.request()
    trio.say("storage", results(proposal, DONE))
    node.finish()
    node.actor.close()
    assert node.answer() == (b"1", DONE)


def test_what_can_not_be_answered_in_time_does_not_hold_up_the_stop(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()
    node.finish()


def test_damage_that_is_found_beside_a_client_that_reads_no_answers_ends_the_gateway(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the error that stops the node: any other one would start the gateway again, upon the same damage."""
    ended: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    node.start_trio()
    node.ask(Get(b"k", serializable=True))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))
    arrives = iter([False])  # there is room for its request, and none any more when it is served
    monkeypatch.setattr(node.actor._clients, "is_full", lambda route: next(arrives, True))
    node.damage_state()
    node.ask(Get(b"k", serializable=True))
    assert node.error() == ResourceExhausted.code
    node.join()
    assert [one.exc_type for one in ended] == [CorruptState]
