"""The gateway of the leader's node keeps the history bounded."""

from typing import cast

import pytest

from tests.unit.actors.gateway_stage import LEADING, ME, Node, Trio
from zraft.actors.compaction import Compaction
from zraft.actors.hints import Hints
from zraft.config import Settings
from zraft.core import retention
from zraft.core.pace import SPAN_SECONDS
from zraft.core.proposals import Proposals
from zraft.core.room import ENOUGH, RESERVE
from zraft.protocol import codec
from zraft.protocol.local import (
    Holdings,
    Propose,
    Results,
    RoleGroup,
    StorageGroup,
)
from zraft.protocol.requests import ClusterStatus, Command, Compact, Put
from zraft.protocol.responses import CompactResult
from zraft.store.page import Group


def keeping_too_much(swept: int = 0) -> StorageGroup:
    """The newest 50,000 revisions are kept by default, and here are more."""
    return StorageGroup(0, 5, 1, 3, 3, 3, 60_000, 0, compacted=swept, swept=swept)


def hear_compact(trio: Trio) -> tuple[Propose, Command]:
    proposal = trio.hear_proposal()
    commands = codec.unpack_commands(proposal.payload)
    assert commands is not None
    [command] = commands
    return proposal, command


def test_the_leaders_gateway_compacts_what_is_too_much(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOST_SECONDS", 1e9)  # it does not go on because the answer seems to be lost
    trio = node.start_trio()
    node.page.publish(Group.STORAGE, codec.encode(keeping_too_much()))
    proposal, command = hear_compact(trio)
    assert (proposal.grows, command) == (False, Compact(10_000, resume=True))
    # Its answer is no client's; the sweep goes on.
    trio.say("storage", Results(proposal.origin, 9, codec.encode([CompactResult(9, 60_000, 10_000, 2_000)])))
    proposal, command = hear_compact(trio)
    assert command == Compact(10_000, resume=True)
    trio.say("storage", Results(proposal.origin, 10, codec.encode([CompactResult(10, 60_000, 10_000, 10_000)])))
    node.ask(Put(b"k", b"v"))
    _, command = hear_compact(trio)
    assert command == Put(b"k", b"v")


def test_another_nodes_gateway_compacts_nothing(node: Node) -> None:
    trio = node.start_trio()
    node.page.publish(Group.ROLE, codec.encode(RoleGroup(5, "follower", 0xB)))
    node.page.publish(Group.STORAGE, codec.encode(keeping_too_much()))
    node.ask(ClusterStatus())
    node.answer()
    node.page.publish(Group.STORAGE, codec.encode(keeping_too_much(swept=10_000)))
    node.page.publish(Group.ROLE, codec.encode(LEADING))
    node.ask(Put(b"k", b"v"))
    _, command = hear_compact(trio)
    assert command == Put(b"k", b"v")


class Looks:
    """Hints of the leader's gateway, whose storage is as said."""

    def __init__(self) -> None:
        self.now = StorageGroup(0, 5, 1, 3, 3, 3, 0, ENOUGH)

    def storage(self) -> StorageGroup:
        return self.now

    def role(self) -> RoleGroup:
        return LEADING


@pytest.mark.parametrize(
    ("space", "held", "proposed"), [(ENOUGH, 0, 0), (RESERVE, 0, 1), (ENOUGH, Settings().burst_mib << 20, 1)]
)
def test_while_writes_come_fast_only_what_must_be_swept_is(space: int, held: int, proposed: int) -> None:
    compaction, looks, proposals = Compaction(Settings()), Looks(), Proposals(ME, 0, 1)
    compaction.tick(cast(Hints, looks), ME, proposals, 0.0)
    looks.now = StorageGroup(0, 5, 1, 3, 3, 3, 60_000, space, holdings=Holdings(state_bytes=held))
    compaction.tick(cast(Hints, looks), ME, proposals, SPAN_SECONDS)
    assert proposals.waiting == proposed
