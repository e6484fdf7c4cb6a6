"""What the rules of the cores rest on in the shells of the trio: times, the order of what is done, what is taken back.

The simulator has shells of its own, so nothing but a test of the real ones finds a defect here.
"""

import random
from collections.abc import Sequence
from typing import NoReturn

import pytest

from tests.unit.actors.trio_stage import (
    ALONE,
    ME,
    OURS,
    PAIR,
    PEER,
    THEIRS,
    WAIT_S,
    Link,
    Others,
    Stage,
    form,
    status,
    turn_election,
    turn_replication,
    turn_storage,
)
from tests.waiting import wait_until
from zraft.actors import election as election_module, storage as storage_module
from zraft.actors.clock import clock
from zraft.actors.election import ElectionActor
from zraft.actors.installing import Prepared
from zraft.actors.sockets import poll
from zraft.actors.storage import StorageActor
from zraft.core.lease import lease_seconds
from zraft.core.roles import LEADER
from zraft.errors import OutOfSpace, ProtocolError, SyncFailed
from zraft.protocol import codec
from zraft.protocol.entries import NO_ORIGIN, ClusterRecord, EntryId, EntryKind, Origin, encode_entry
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Deposed,
    IdentityGroup,
    Lead,
    LeaseGroup,
    Propose,
    StatusQuery,
    VoteQuery,
)
from zraft.protocol.peer import (
    PEER_VERSION,
    Append,
    AppendAnswer,
    Heartbeat,
    HeartbeatAnswer,
    NotProposed,
    PeerHeader,
    SnapshotId,
    Vote,
    VoteAnswer,
)
from zraft.protocol.requests import Put
from zraft.store.page import Group

STARTED = 100.0
OTHER_PAIR = ClusterRecord(PAIR.members, 151)
TERM = 3


class Time:
    """The clock of the election actor, which stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = STARTED
        monkeypatch.setattr(election_module, "clock", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    return Time(monkeypatch)


def begin(stage: Stage, record: ClusterRecord) -> tuple[ElectionActor, Link]:
    """An election actor whose storage has told what it holds, and its link to that."""
    actor = stage.election()
    storage = stage.bind("storage.election", codec.election_to_storage, turn_election(actor))
    storage.say(status(TERM, record))
    wait_until(lambda: storage._turn() is None and actor._election is not None, WAIT_S, "it to begin")
    return actor, storage


def role(actor: ElectionActor) -> str:
    return actor._election.role if actor._election else ""


def lead(stage: Stage, time: Time) -> tuple[ElectionActor, int]:
    """A lone voter that leads; returns its term, too."""
    actor, storage = begin(stage, ALONE)
    time.now += 1.0
    while not isinstance(message := storage.hear(), Campaign):
        assert message == StatusQuery()
        storage.say(status(TERM))
    storage.say(CampaignAnswer(message.term, message.ballot, True, message.term, EntryId(3, 2), ALONE.configuration()))
    wait_until(lambda: storage._turn() is None and role(actor) == LEADER, WAIT_S, "it to lead")
    return actor, message.term


# --- election: the promise, and the lease that rests on it


def test_within_a_time_out_of_its_start_a_node_grants_nothing(stage: Stage, time: Time) -> None:  # S7
    """The process before it may have acknowledged a leader a moment ago."""
    actor, storage = begin(stage, PAIR)
    peer = Others(stage, 0, ME, PAIR, turn_election(actor))
    time.now = STARTED + 0.149
    peer.say(PEER, Vote(TERM + 1, 1, EntryId(9, TERM)))
    assert codec.control.decode(peer.hear()[1]) == VoteAnswer(TERM + 1, 1, False, TERM)
    time.now = STARTED + 0.151
    peer.say(PEER, Vote(TERM + 1, 2, EntryId(9, TERM)))
    assert storage.hear() == VoteQuery(TERM + 1, PEER, 2, EntryId(9, TERM), True)


def test_a_promise_counts_from_when_the_heartbeat_is_read(stage: Stage, time: Time) -> None:  # S7, S12, trap 42
    """This process was stopped when the leader sent it: a promise that began before that would end before the lease."""
    actor, _ = begin(stage, PAIR)
    peer = Others(stage, 0, ME, PAIR, turn_election(actor))
    time.now += 0.2
    peer.say(PEER, Heartbeat(TERM, 1))
    wait_until(lambda: bool(actor._control.poll(0)), WAIT_S, "the heartbeat")
    events = poll(actor._poller, 0.01)
    time.now += 0.5
    actor._take(events)
    assert codec.control.decode(peer.hear()[1]) == HeartbeatAnswer(TERM, 1, True, TERM)
    assert actor._election is not None
    assert actor._election._promise.silence(time.now) == 0.0


def test_a_lease_is_shorter_than_the_promise_of_the_settings(stage: Stage, time: Time) -> None:  # S12, trap 42
    _, term = lead(stage, time)
    lease = stage.page.load(Group.LEASE)
    assert lease is not None
    assert codec.lease_group.decode(lease) == LeaseGroup(term, time.now + lease_seconds(0.150))


def test_a_lease_is_off_the_page_when_its_leader_steps_down(stage: Stage, time: Time) -> None:  # S7, S8
    actor, _ = lead(stage, time)
    assert stage.page.load(Group.LEASE) is not None
    replication = stage.bind("replication.election", codec.election_to_replication, turn_election(actor))
    replication.say(Deposed(50))
    wait_until(lambda: replication._turn() is None and role(actor) != LEADER, WAIT_S, "it to step down")
    assert stage.page.load(Group.LEASE) is None


def test_election_hears_no_answer_to_another_incarnation(stage: Stage, time: Time) -> None:  # S1
    actor, _ = begin(stage, PAIR)
    frame = codec.encode(HeartbeatAnswer(TERM, 1, True, TERM))
    for incarnation in (OURS, THEIRS):
        header = codec.encode(PeerHeader(PEER_VERSION, PAIR.cluster_id(), PEER, ME, incarnation))
        if incarnation == OURS:
            actor._on_answer(b"", [header, frame])
            continue
        with pytest.raises(ProtocolError, match="which is gone"):
            actor._on_answer(b"", [header, frame])


def test_election_hears_nobody_of_another_cluster(stage: Stage, time: Time) -> None:  # trap 36
    actor, storage = begin(stage, PAIR)
    turn = turn_election(actor)
    time.now += 0.2
    last = EntryId(9, TERM)
    Others(stage, 0, ME, OTHER_PAIR, turn).say(PEER, Vote(TERM + 2, 1, last))
    ours = Others(stage, 0, ME, PAIR, turn)
    wait_until(lambda: bool(actor._control.poll(0)), WAIT_S, "the stranger's")
    turn()
    ours.say(PEER, Vote(TERM + 1, 1, last))
    assert storage.hear() == VoteQuery(TERM + 1, PEER, 1, last, True)


# --- replication


def test_replication_counts_no_answer_to_another_incarnation(stage: Stage) -> None:  # S1
    stage.page.publish(Group.IDENTITY, codec.encode(IdentityGroup(ME, PAIR.cluster_id(), PAIR.configuration())))
    actor = stage.replication()
    election = stage.connect("replication.election", codec.replication_to_election, turn_replication(actor))
    election.say(Lead(5, EntryId(3, 2), PAIR.configuration()))
    wait_until(lambda: election._turn() is None and actor._core.term == 5, WAIT_S, "it to lead")
    for incarnation, term in ((THEIRS, 9), (OURS, 8)):
        header = codec.encode(PeerHeader(PEER_VERSION, PAIR.cluster_id(), PEER, ME, incarnation))
        actor._on_answer([header, codec.encode(AppendAnswer(term, False, 0, 0))], clock())
    assert election.hear() == Deposed(8)


def test_what_was_refused_before_the_first_term_is_not_made_in_it(stage: Stage) -> None:  # S9, trap 55
    """Its commands have been proposed again since, under another number."""
    stage.page.publish(Group.IDENTITY, codec.encode(IdentityGroup(ME, ALONE.cluster_id(), ALONE.configuration())))
    actor = stage.replication()
    turn = turn_replication(actor)
    election = stage.connect("replication.election", codec.replication_to_election, turn)
    gateway = stage.connect("replication.gateways", codec.replication_to_gateway, turn)
    copied, other = Propose(5, Origin(ME, 0, 77, 1), True, b"copied"), Propose(4, Origin(ME, 0, 77, 2), True, b"")
    gateway.say(copied)
    assert isinstance(gateway.hear(), NotProposed)
    election.say(Lead(5, EntryId(3, 2), ALONE.configuration()))
    wait_until(lambda: turn() is None and actor._core.term == 5, WAIT_S, "it to lead")
    gateway.say(copied)
    gateway.say(other)
    refused = gateway.hear()
    assert isinstance(refused, NotProposed)
    assert refused.origin == other.origin
    assert actor._core._lead is not None
    assert actor._core._lead.tail.last == 4, "the empty entry of the term, and nothing else"


# --- storage


def test_nothing_is_answered_before_the_log_is_committed(  # S6, S13, traps 1, 20, 21
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, election = form(stage)

    def refuse() -> NoReturn:
        raise SyncFailed("fdatasync: EIO")

    told: list[object] = []
    monkeypatch.setattr(actor._log, "commit", refuse)
    monkeypatch.setattr(storage_module, "send", lambda socket, frames: told.append(frames))
    election.say(Campaign(1, 1))
    wait_until(lambda: bool(actor._election.poll(0)), WAIT_S, "the question")
    with pytest.raises(SyncFailed):
        actor._answer_all(poll(actor._poller, 0.01))
    assert not told


def test_storage_takes_nothing_of_another_cluster(stage: Stage) -> None:  # trap 36
    actor, _ = form(stage)
    turn = turn_storage(actor)
    me, record = actor._log.member, actor._log.record
    assert record is not None
    Others(stage, 1, me, OTHER_PAIR, turn).say(PEER, Append(9, EntryId(0, 0), (), 0))
    wait_until(lambda: bool(actor._data.poll(0)), WAIT_S, "the stranger's")
    turn()
    ours = Others(stage, 1, me, record, turn)
    ours.say(PEER, Append(2, EntryId(0, 0), (), 0))
    answer = codec.data.decode(ours.hear()[1])
    assert isinstance(answer, AppendAnswer)
    assert (answer.term, answer.success) == (2, True)


def entries(*indexes: int) -> tuple[bytes, ...]:
    """Entries of term 1, each with a Put."""
    payload = codec.pack_commands([codec.encode(Put(b"key", b"value"))])
    return tuple(encode_entry(index, 1, EntryKind.COMMANDS, NO_ORIGIN, payload) for index in indexes)


def elect(stage: Stage, election: Link, actor: StorageActor) -> Link:
    """This node leads term 1; returns the link of its replication."""
    election.say(Campaign(1, 1))
    assert election.hear()
    return stage.connect("storage.replication", codec.storage_to_replication, turn_storage(actor))


def test_an_entry_that_found_no_room_is_applied_whole_once_there_is_some(  # DESIGN 3, trap 56
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been done of it, and of those before it, is forgotten: else a part of it would be all of it."""
    actor, election = form(stage)
    replication = elect(stage, election, actor)
    replication.say(Append(1, EntryId(0, 0), entries(1, 2), 2))
    assert replication.hear()
    set_keys, room = actor._state.set_keys, iter([True, False])

    def set_some(items: Sequence[tuple[bytes, bytes]]) -> None:
        if not next(room, True):
            raise OutOfSpace("no space left")
        set_keys(items)

    monkeypatch.setattr(actor._state, "set_keys", set_some)
    actor._apply()
    assert (actor._acceptor.applied, actor._applier.revisions[0]) == (0, 0)
    actor._apply()
    assert (actor._acceptor.applied, actor._applier.revisions[0]) == (2, 2)


def test_a_storage_without_room_takes_no_entry_and_says_that_it_lives(  # DESIGN 3
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, election = form(stage)
    replication = elect(stage, election, actor)
    monkeypatch.setattr(actor._space, "exhausted", lambda: True)
    replication.say(Append(1, EntryId(0, 0), entries(1), 0))
    answer = replication.hear()
    assert isinstance(answer, AppendAnswer)
    assert (answer.success, answer.conflict.index, actor._log.last.index) == (False, 0, 0)


def test_an_installed_state_is_published_first_and_lost_results_are_told_before_what_follows(  # S10, trap 55
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a later term without their results gateways would conclude that they may propose once more."""
    actor, _ = form(stage)
    order: list[object] = []
    monkeypatch.setattr(actor._installing, "take_over", lambda *_: actor._stores)
    monkeypatch.setattr(storage_module, "remove_replaced", lambda *_: order.append("removed"))
    monkeypatch.setattr(actor, "_publish", lambda: order.append("published"))
    monkeypatch.setattr(actor._gateways, "skipped", lambda: order.append("skipped"))
    monkeypatch.setattr(actor._gateways, "tell", lambda outcomes, applied: order.append(("told", applied)))
    actor._install(Prepared(SnapshotId(9, 1, 100, b"checksum"), 1))
    assert order == ["published", "skipped", ("told", 9), "removed"]
