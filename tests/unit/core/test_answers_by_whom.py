"""Other gateways are heard where they were asked, and pass proposals on in their own name alone."""

import pytest

from tests.unit.core.reading import read
from tests.unit.core.test_forwarded import FORWARD
from tests.unit.core.test_proposals import A, B, origin, role, sent, submit, told
from zraft.core.forwarded import Forwarded
from zraft.core.proposals import RETRY_SECONDS, Proposals
from zraft.core.reads import AskLeader, Reads, Serve
from zraft.errors import NotLeader, ResourceExhausted
from zraft.protocol.local import CommitGroup, RoundAnswer
from zraft.protocol.peer import ReadIndex, ReadIndexAnswer

C = 0xC


@pytest.fixture
def proposals() -> Proposals:
    proposals = Proposals(A, 0, 77)
    submit(proposals, "a")
    return proposals


@pytest.mark.parametrize("code", [NotLeader.code, ResourceExhausted.code])
@pytest.mark.parametrize(("leader", "stranger"), [(B, C), (B, A), (A, B)], ids=["another", "this node", "for this one"])
def test_nobody_else_refuses_a_proposal(proposals: Proposals, leader: int, stranger: int, code: str) -> None:  # S9
    """It may be executed yet: it would be proposed a second time, or told as not executed."""
    proposals.flush(role(3, leader), 0.0)
    assert proposals.on_not_proposed(stranger, origin(1), code, "full", 0.0) == []
    assert proposals.flush(role(3, leader), RETRY_SECONDS) == []
    assert proposals.on_results(origin(1), [b"1"]) == [told("a", b"1")]


def test_the_leader_of_then_refuses_also_when_another_one_leads(proposals: Proposals) -> None:
    proposals.flush(role(3, leader=B), 0.0)
    assert proposals.flush(role(4, leader=C), 0.0) == []
    assert proposals.on_not_proposed(B, origin(1), NotLeader.code, "leads no more", 0.0) == []
    assert proposals.flush(role(4, leader=C), RETRY_SECONDS) == [sent(2, 4, "a", to=C)]


def test_once_it_is_proposed_to_another_the_first_one_is_heard_no_more(proposals: Proposals) -> None:
    proposals.flush(role(3, leader=B), 0.0)
    proposals.on_applied_term(4, 0.0)
    proposals.flush(role(4, leader=C), RETRY_SECONDS)
    for number in (1, 2):
        assert proposals.on_not_proposed(B, origin(number), ResourceExhausted.code, "full", RETRY_SECONDS) == []
    assert proposals.on_results(origin(2), [b"1"]) == [told("a", b"1")]


@pytest.mark.parametrize(("leader", "stranger"), [(B, C), (A, B)], ids=["another", "this node leads"])
@pytest.mark.parametrize("code", ["", NotLeader.code])
def test_nobody_else_knows_a_read_index(leader: int, stranger: int, code: str) -> None:
    reads = Reads(A, 0, 100)
    reads.submit(read("a"))
    asked = reads.flush(role(5, leader), None, 0.0)
    assert reads.on_read_index(stranger, ReadIndexAnswer(101, 5, 9, code), 0.1) == []
    assert reads.flush(role(5, leader), None, 0.1 + RETRY_SECONDS) == []
    if leader == A:
        assert reads.on_round(RoundAnswer(101, 5), CommitGroup(5, 9), 0.2) == [Serve(9, (read("a"),))]
    else:
        assert asked == [AskLeader(B, ReadIndex(101))]
        assert reads.on_read_index(B, ReadIndexAnswer(101, 5, 9), 0.2) == [Serve(9, (read("a"),))]


def test_what_is_passed_on_in_anothers_name_is_passed_over_and_not_remembered() -> None:  # S9
    forwarded = Forwarded()
    for lack in (None, ResourceExhausted("the disk is full")):
        assert forwarded.take(FORWARD.origin.member + 1, FORWARD, 3, lack) is None
    assert forwarded.take(FORWARD.origin.member, FORWARD, 3, None) is not None
