"""Proposals that other nodes' gateways passed on: each is proposed or refused, and once."""

import msgspec
import pytest

from tests.unit.core.cast import B
from zraft.core.forwarded import Forwarded
from zraft.errors import NotLeader, ResourceExhausted, Unavailable, ZraftError
from zraft.protocol.entries import Origin
from zraft.protocol.local import Propose
from zraft.protocol.peer import Forward, NotProposed

ORIGIN = Origin(B, 0, 77, 7)
FORWARD = Forward(3, ORIGIN, True, b"payload")


def test_a_leader_proposes_for_others_and_refuses_for_want_of_room() -> None:
    full = ResourceExhausted("the disk is full")
    assert Forwarded().take(B, FORWARD, 3, None) == Propose(3, ORIGIN, True, b"payload")
    assert Forwarded().take(B, FORWARD, 3, full) == NotProposed(ORIGIN, ResourceExhausted.code, "the disk is full")
    # Who follows refuses only what comes to its own clients: this one its replication will refuse.
    assert Forwarded().take(B, FORWARD, 3, Unavailable("no room")) == Propose(3, ORIGIN, True, b"payload")


@pytest.mark.parametrize("lack", [None, ResourceExhausted("the disk is full")])
def test_a_second_copy_of_what_was_passed_on_is_neither_made_nor_refused(lack: ZraftError | None) -> None:  # S9
    forwarded = Forwarded()
    assert forwarded.take(B, FORWARD, 3, lack) is not None
    assert forwarded.take(B, FORWARD, 3, None) is None
    assert forwarded.take(B, FORWARD, 3, ResourceExhausted("the disk is full")) is None


def test_one_for_a_term_that_this_node_does_not_know_is_passed_over_and_not_remembered() -> None:  # S9
    forwarded = Forwarded()
    for term in range(4, 20):
        assert forwarded.take(B, msgspec.structs.replace(FORWARD, term=term), 3, None) is None
    assert forwarded.take(B, FORWARD, 3, None) == Propose(3, ORIGIN, True, b"payload")
    later = msgspec.structs.replace(FORWARD, term=4)
    assert forwarded.take(B, later, 4, None) == Propose(4, ORIGIN, True, b"payload")


def test_a_node_that_forgot_its_term_still_refuses_what_was_for_that_one() -> None:
    """Its trio has just ended; by the refusal the other node knows that nothing was proposed."""
    forwarded = Forwarded()
    assert forwarded.take(B, FORWARD, 3, None) is not None
    second = msgspec.structs.replace(FORWARD, origin=ORIGIN._replace(number=8))
    assert forwarded.take(B, second, 0, None) == Propose(3, second.origin, True, b"payload")


def test_what_replication_could_not_be_given_is_certainly_not_proposed() -> None:
    made = Forwarded().take(B, FORWARD, 3, None)
    assert isinstance(made, Propose)
    refusal = NotProposed(ORIGIN, NotLeader.code, "the leader's node is restarting")
    assert Forwarded().unsent(made) == refusal
