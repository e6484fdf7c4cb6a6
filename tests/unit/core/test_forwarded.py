"""Proposals that other nodes' gateways passed on: each is proposed or refused, and once."""

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
    assert Forwarded().take(FORWARD, None) == Propose(3, ORIGIN, True, b"payload")
    assert Forwarded().take(FORWARD, full) == NotProposed(ORIGIN, ResourceExhausted.code, "the disk is full")
    # Who follows refuses only what comes to its own clients: this one its replication will refuse.
    assert Forwarded().take(FORWARD, Unavailable("no room")) == Propose(3, ORIGIN, True, b"payload")


@pytest.mark.parametrize("lack", [None, ResourceExhausted("the disk is full")])
def test_a_second_copy_of_what_was_passed_on_is_neither_made_nor_refused(lack: ZraftError | None) -> None:  # S9
    forwarded = Forwarded()
    assert forwarded.take(FORWARD, lack) is not None
    assert forwarded.take(FORWARD, None) is None
    assert forwarded.take(FORWARD, ResourceExhausted("the disk is full")) is None


def test_what_replication_could_not_be_given_is_certainly_not_proposed() -> None:
    made = Forwarded().take(FORWARD, None)
    assert isinstance(made, Propose)
    refusal = NotProposed(ORIGIN, NotLeader.code, "the leader's node is restarting")
    assert Forwarded().unsent(made) == refusal
