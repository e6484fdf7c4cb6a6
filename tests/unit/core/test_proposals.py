"""Proposals of a gateway, rule by rule: what leaves, under which number and term, and what the clients are told."""

import msgspec
import pytest

from zraft.core.admission import Caller
from zraft.core.proposals import (
    IN_FLIGHT_MAX,
    LEADERLESS_SHARE,
    PROPOSAL_BYTES_MAX,
    PROPOSAL_COMMANDS_MAX,
    RETRY_SECONDS,
    RETURNED_BYTES,
    SLOT_SECONDS,
    Proposals,
    SendProposal,
    Tell,
    Waiting,
)
from zraft.errors import NotLeader, ResourceExhausted, Unavailable, Unknown
from zraft.protocol.codec import encode, pack_commands, response, unpack_commands
from zraft.protocol.entries import Origin
from zraft.protocol.local import Propose, RoleGroup
from zraft.protocol.requests import Put
from zraft.protocol.responses import ErrorResult

A, B = 0xA, 0xB
GATEWAY, NONCE = 0, 77
DEADLINE = 5.0


def role(term: int, leader: int = A) -> RoleGroup:
    return RoleGroup(term, "leader", leader)


def caller(name: str) -> Caller:
    return Caller(b"client", name.encode(), 1)


def command(name: str, *, grows: bool = True, deadline: float = DEADLINE, size: int = 0) -> Waiting:
    return Waiting(caller(name), encode(Put(name.encode(), bytes(size))), grows, deadline)


def origin(number: int) -> Origin:
    return Origin(A, GATEWAY, NONCE, number)


def sent(number: int, term: int, *names: str, to: int = A, grows: bool = True) -> SendProposal:
    payload = pack_commands([command(name).body for name in names])
    return SendProposal(to, Propose(term, origin(number), grows, payload))


def told(name: str, body: bytes = b"done") -> Tell:
    return Tell(caller(name), body)


def codes(tells: list[Tell]) -> dict[str, str]:
    """By the request: the error that its client was told."""
    errors = {tell.client.request.decode(): response.decode(tell.body) for tell in tells}
    return {name: error.code for name, error in errors.items() if isinstance(error, ErrorResult)}


@pytest.fixture
def proposals() -> Proposals:
    return Proposals(A, GATEWAY, NONCE)


def submit(proposals: Proposals, *names: str) -> None:
    for name in names:
        proposals.submit(command(name))


def fill(proposals: Proposals, term: int = 3) -> None:
    """Four proposals in flight, of one command each: a to d."""
    for name in "abcd":
        proposals.submit(command(name))
        assert len(proposals.flush(role(term), 0.0)) == 1


# --- batches grow with load, an idle system answers at once


def test_an_idle_gateway_proposes_at_once(proposals: Proposals) -> None:
    submit(proposals, "a")
    assert proposals.flush(role(3), 0.0) == [sent(1, 3, "a")]
    assert proposals.flush(role(3), 0.0) == []


def test_what_waits_leaves_together_in_its_order(proposals: Proposals) -> None:
    submit(proposals, "a", "b", "c")
    assert proposals.flush(role(3, leader=B), 0.0) == [sent(1, 3, "a", "b", "c", to=B)]


def test_the_payload_is_the_commands_as_they_came(proposals: Proposals) -> None:
    odd = b"\x94\x01\xc5\x00\x01k\xc4\x01v\xc0"  # a longer form than ours, and a default spelt out
    proposals.submit(Waiting(caller("a"), odd, True, DEADLINE))
    (send,) = proposals.flush(role(3), 0.0)
    assert send.proposal.payload == b"\xdd\x00\x00\x00\x01" + odd


def test_a_proposal_grows_the_state_if_any_command_may(proposals: Proposals) -> None:
    proposals.submit(command("a", grows=False))
    assert proposals.flush(role(3), 0.0) == [sent(1, 3, "a", grows=False)]
    proposals.submit(command("b", grows=False))
    submit(proposals, "c")
    assert proposals.flush(role(3), 0.0) == [sent(2, 3, "b", "c", grows=True)]


def test_few_proposals_are_in_flight_and_the_rest_gathers(proposals: Proposals) -> None:
    fill(proposals)
    submit(proposals, "e", "f", "g")
    assert proposals.flush(role(3), 0.0) == []
    assert proposals.on_results(origin(2), [b"done"]) == [told("b")]
    assert proposals.flush(role(3), 0.0) == [sent(IN_FLIGHT_MAX + 1, 3, "e", "f", "g")]


def test_proposals_that_are_lost_do_not_keep_others_waiting(proposals: Proposals) -> None:
    fill(proposals)
    submit(proposals, "e")
    assert proposals.expire(SLOT_SECONDS - 0.1) == []
    assert proposals.flush(role(3), SLOT_SECONDS - 0.1) == []
    assert proposals.expire(SLOT_SECONDS) == []
    assert proposals.flush(role(3), SLOT_SECONDS) == [sent(IN_FLIGHT_MAX + 1, 3, "e")]
    assert proposals.in_flight == IN_FLIGHT_MAX + 1  # their clients wait on


def test_what_was_overdue_and_is_answered_after_all_frees_no_second_place(proposals: Proposals) -> None:
    fill(proposals)
    proposals.expire(SLOT_SECONDS)
    fill(proposals)
    assert proposals.on_results(origin(2), [b"done"]) == [told("b")]
    assert proposals.on_not_proposed(origin(3), NotLeader.code, "leads term 4", SLOT_SECONDS) == []
    submit(proposals, "e")
    assert proposals.flush(role(3), SLOT_SECONDS + RETRY_SECONDS) == []
    assert proposals.on_results_lost()
    assert len(proposals.flush(role(3), SLOT_SECONDS + RETRY_SECONDS)) == 2


def test_a_proposal_stops_gathering_at_its_size(proposals: Proposals) -> None:
    for name in "abc":
        proposals.submit(command(name, size=PROPOSAL_BYTES_MAX * 2 // 5))
    sizes = [len(send.proposal.payload) for send in proposals.flush(role(3), 0.0)]
    assert len(sizes) == 2
    assert sizes[0] <= PROPOSAL_BYTES_MAX


def test_commands_that_return_a_value_share_a_proposal_with_fewer_others(proposals: Proposals) -> None:
    for number in range(40):
        proposals.submit(msgspec.structs.replace(command(f"{number}"), returns=True))
    sends = proposals.flush(role(term=3), now=1.0)
    counts = [len(unpack_commands(send.proposal.payload) or []) for send in sends]
    assert counts == [PROPOSAL_BYTES_MAX // (RETURNED_BYTES + 64)] * 2 + [40 - 2 * 15]


def test_one_command_may_be_larger_than_a_proposal(proposals: Proposals) -> None:
    large = command("large", size=PROPOSAL_BYTES_MAX + 1)
    for one in (command("a"), large, command("b")):
        proposals.submit(one)
    assert [send.proposal.payload for send in proposals.flush(role(3), 0.0)] == [
        pack_commands([one.body]) for one in (command("a"), large, command("b"))
    ]


def test_a_proposal_has_so_many_commands_at_most(proposals: Proposals) -> None:
    for number in range(PROPOSAL_COMMANDS_MAX + 1):
        proposals.submit(command(str(number)))
    counts = [send.proposal.payload[1:5] for send in proposals.flush(role(3), 0.0)]
    assert counts == [PROPOSAL_COMMANDS_MAX.to_bytes(4, "big"), b"\x00\x00\x00\x01"]


@pytest.mark.parametrize("nobody", [None, role(3, leader=0)], ids=["page", "leader"])
def test_without_a_leader_commands_wait(proposals: Proposals, nobody: RoleGroup | None) -> None:
    submit(proposals, "a")
    assert proposals.flush(nobody, 0.0) == []
    assert proposals.flush(role(3), 0.0) == [sent(1, 3, "a")]


# --- results


def test_each_client_is_told_its_own_result(proposals: Proposals) -> None:
    submit(proposals, "a", "b")
    proposals.flush(role(3), 0.0)
    assert proposals.on_results(origin(1), [b"1", b"2"]) == [told("a", b"1"), told("b", b"2")]


def test_a_second_result_is_dropped(proposals: Proposals) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 0.0)
    proposals.on_results(origin(1), [b"1"])
    assert proposals.on_results(origin(1), [b"1"]) == []


@pytest.mark.parametrize(
    "stranger",
    [origin(2), Origin(B, GATEWAY, NONCE, 1), Origin(A, 1, NONCE, 1), Origin(A, GATEWAY, NONCE + 1, 1)],
    ids=["number", "member", "gateway", "an earlier start"],
)
def test_results_and_refusals_of_unknown_origins_are_dropped(proposals: Proposals, stranger: Origin) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 0.0)
    assert proposals.on_results(stranger, [b"1"]) == []
    assert proposals.on_not_proposed(stranger, ResourceExhausted.code, "", 0.0) == []
    assert proposals.on_results(origin(1), [b"1"]) == [told("a", b"1")]


# --- certainly not executed: proposed again, under another number (S9)


def test_what_was_refused_is_proposed_again_under_a_new_number(proposals: Proposals) -> None:  # S9
    submit(proposals, "a", "b")
    proposals.flush(role(3), 0.0)
    assert proposals.on_not_proposed(origin(1), NotLeader.code, "leads term 4", 0.0) == []
    submit(proposals, "c")
    assert proposals.flush(role(4, leader=B), 0.0) == [sent(2, 4, "a", "b", to=B), sent(3, 4, "c", to=B)]


def test_what_could_not_be_sent_is_proposed_again(proposals: Proposals) -> None:
    fill(proposals)
    for number in range(1, 5):
        proposals.unsent(origin(number), 0.0)
    assert proposals.flush(role(3), RETRY_SECONDS) == [
        sent(number, 3, name) for number, name in enumerate("abcd", start=5)
    ]


def test_a_refused_term_is_not_asked_again_at_once(proposals: Proposals) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 1.0)
    proposals.on_not_proposed(origin(1), NotLeader.code, "", 1.0)
    assert proposals.flush(role(3), 1.0 + RETRY_SECONDS / 2) == []
    assert proposals.flush(role(3), 1.0 + RETRY_SECONDS) == [sent(2, 3, "a")]


def test_a_refusal_for_another_reason_goes_to_the_clients(proposals: Proposals) -> None:
    submit(proposals, "a", "b")
    proposals.flush(role(3), 0.0)
    error = encode(ErrorResult(ResourceExhausted.code, "full"))
    refusal = proposals.on_not_proposed(origin(1), ResourceExhausted.code, "full", 0.0)
    assert refusal == [told("a", error), told("b", error)]
    assert proposals.on_results(origin(1), [b"1", b"2"]) == []


def test_what_does_not_grow_is_proposed_again_when_growth_is_refused(proposals: Proposals) -> None:
    """Deletes go on at the reserve, also those that travelled with a put."""
    proposals.submit(command("delete", grows=False))
    submit(proposals, "put")
    proposals.flush(role(3), 0.0)
    error = encode(ErrorResult(ResourceExhausted.code, "full"))
    assert proposals.on_not_proposed(origin(1), ResourceExhausted.code, "full", 0.0) == [told("put", error)]
    assert proposals.flush(role(3), 0.0) == [sent(2, 3, "delete", grows=False)]
    assert proposals.on_not_proposed(origin(2), ResourceExhausted.code, "full", 0.0) == [told("delete", error)]
    assert proposals.flush(role(3), 0.0) == []


def test_an_older_terms_proposals_are_settled_by_an_applied_term(proposals: Proposals) -> None:
    """Terms in a log never go back: what was proposed in term 3 can't follow an applied entry of term 4."""
    fill(proposals, term=3)
    submit(proposals, "e", "f")
    proposals.on_results(origin(3), [b"done"])
    proposals.on_applied_term(4, 0.0)
    assert proposals.flush(role(4), 0.0) == [
        sent(5, 4, "a"),
        sent(6, 4, "b"),
        sent(7, 4, "d"),
        sent(8, 4, "e", "f"),
    ]
    assert proposals.on_results(origin(1), [b"1"]) == []


def test_the_applied_term_settles_nothing_of_its_own_or_a_later_one(proposals: Proposals) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 0.0)
    proposals.on_applied_term(3, 0.0)
    proposals.on_applied_term(2, 0.0)
    assert proposals.flush(role(3), 1.0) == []
    assert proposals.on_results(origin(1), [b"1"]) == [told("a", b"1")]


def test_nothing_is_proposed_in_a_term_that_can_not_be_executed_any_more(proposals: Proposals) -> None:
    """The page still names the leader of term 3, of whom nothing may be heard any more."""
    proposals.on_applied_term(4, 0.0)
    submit(proposals, "a")
    assert proposals.flush(role(3), 1.0) == []
    assert proposals.flush(role(4, leader=B), 1.0) == [sent(1, 4, "a", to=B)]


def test_refusals_one_by_one_keep_the_order(proposals: Proposals) -> None:
    fill(proposals)
    submit(proposals, "e")
    for number in (2, 3, 4):
        proposals.on_not_proposed(origin(number), NotLeader.code, "", 0.0)
    assert proposals.flush(role(4), 0.0) == [sent(5, 4, "b"), sent(6, 4, "c"), sent(7, 4, "d")]
    proposals.on_applied_term(4, 0.0)
    assert proposals.flush(role(4), 0.0) == [sent(8, 4, "a")]


# --- deadlines


def test_what_waited_here_until_its_deadline_was_certainly_not_executed(proposals: Proposals) -> None:
    proposals.submit(command("a", deadline=1.0))
    proposals.submit(command("b", deadline=2.0))
    assert proposals.expire(0.9) == []
    assert codes(proposals.expire(1.0)) == {"a": Unavailable.code}
    assert proposals.flush(role(3), 1.0) == [sent(1, 3, "b")]


def test_where_no_leader_is_known_a_command_is_refused_while_its_sender_has_time(proposals: Proposals) -> None:
    """A node that is cut off must not keep it: another one may know a leader. With little left nobody asks that."""
    proposals.submit(command("a", deadline=3.0))
    proposals.submit(command("b", deadline=1.4))
    assert proposals.flush(role(3, leader=0), 0.0) == []
    assert proposals.expire(0.9) == []
    assert codes(proposals.expire(1.0)) == {"a": Unavailable.code}
    assert proposals.flush(role(3), 1.3) == [sent(1, 3, "b")]


@pytest.mark.parametrize("known", [None, RoleGroup(3, "candidate", 0), role(3)], ids=["none", "candidate", "deposed"])
def test_a_leader_must_have_been_unknown_for_so_long(proposals: Proposals, known: RoleGroup | None) -> None:
    """A command that has waited for its turn may wait for an election, too."""
    fill(proposals)
    submit(proposals, "e")  # it has no place beside the others, and has come at 0
    assert proposals.flush(role(4), 2.0) == []
    proposals.on_applied_term(4, 2.0)  # those others certainly are nowhere
    assert proposals.flush(known, 2.0) == []
    waiting = LEADERLESS_SHARE * DEADLINE
    assert proposals.expire(2.0 + waiting - 0.1) == []
    told = codes(proposals.expire(2.0 + waiting))
    assert told == dict.fromkeys(told, Unavailable.code)
    assert "e" in told


def test_unknown_only_after_it_was_sent(proposals: Proposals) -> None:
    proposals.submit(command("a", deadline=1.0))
    proposals.submit(command("b", deadline=2.0))
    proposals.flush(role(3), 0.0)
    proposals.submit(command("c", deadline=1.0))
    assert codes(proposals.expire(1.0)) == {"a": Unknown.code, "c": Unavailable.code}
    assert proposals.on_results(origin(1), [b"1", b"2"]) == [told("b", b"2")]


def test_what_came_back_was_certainly_not_executed(proposals: Proposals) -> None:
    for name, deadline in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        proposals.submit(command(name, deadline=deadline))
    proposals.flush(role(3), 0.0)
    proposals.on_not_proposed(origin(1), NotLeader.code, "", 0.0)
    assert codes(proposals.expire(1.0)) == {"a": Unavailable.code}
    assert proposals.flush(role(4), 1.0) == [sent(2, 4, "b", "c")]
    assert codes(proposals.expire(2.0)) == {"b": Unknown.code}
    proposals.on_applied_term(5, 2.0)
    assert codes(proposals.expire(3.0)) == {"c": Unavailable.code}
    assert proposals.flush(role(5), 3.0) == []


def test_a_client_that_was_told_unknown_is_not_proposed_again(proposals: Proposals) -> None:
    proposals.submit(command("a", deadline=1.0))
    proposals.submit(command("b", deadline=9.0))
    proposals.flush(role(3), 0.0)
    proposals.expire(1.0)
    proposals.on_applied_term(4, 1.0)
    assert proposals.flush(role(4), 1.0) == [sent(2, 4, "b")]


def test_a_proposal_that_nobody_waits_for_makes_room_for_another_one(proposals: Proposals) -> None:
    fill(proposals)
    submit(proposals, "e")
    assert codes(proposals.expire(DEADLINE - 0.1)) == {}
    proposals.submit(command("f", deadline=9.0))
    assert len(proposals.expire(DEADLINE)) == 5
    assert proposals.flush(role(3), DEADLINE) == [sent(5, 3, "f")]
    assert proposals.on_results(origin(1), [b"1"]) == []


# --- the trio restarted, and with it the memory of who waits


def test_lost_results_are_unknown_and_what_was_not_sent_goes_on(proposals: Proposals) -> None:
    fill(proposals)
    submit(proposals, "e")
    assert codes(proposals.on_results_lost()) == dict.fromkeys("abcd", Unknown.code)
    assert proposals.on_results_lost() == []
    assert proposals.on_results(origin(1), [b"1"]) == []
    assert proposals.flush(role(3), 0.0) == [sent(5, 3, "e")]


def test_what_came_back_outlives_a_restart_of_the_trio(proposals: Proposals) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 0.0)
    proposals.on_not_proposed(origin(1), NotLeader.code, "", 0.0)
    assert proposals.on_results_lost() == []
    assert proposals.flush(role(3), 0.0) == [sent(2, 3, "a")]


def test_after_a_restart_the_same_term_is_asked_at_once(proposals: Proposals) -> None:
    submit(proposals, "a")
    proposals.flush(role(3), 0.0)
    proposals.unsent(origin(1), 0.0)
    proposals.on_results_lost()
    assert proposals.flush(role(3), RETRY_SECONDS / 2) == [sent(2, 3, "a")]
