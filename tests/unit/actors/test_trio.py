"""What each actor of the trio does before it takes part: it believes its own incarnation only, and storage first."""

from collections.abc import Callable

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
from zraft.actors.storage import StorageActor
from zraft.core.roles import LEADER
from zraft.core.terms import TERM_LEAP_MAX
from zraft.protocol import codec
from zraft.protocol.entries import EntryId, Member, Origin
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Deposed,
    IdentityGroup,
    Lead,
    Ping,
    Pong,
    Propose,
    Read,
    ReadAnswer,
    RoundAnswer,
    RoundRequest,
    StatusQuery,
)
from zraft.protocol.peer import (
    PEER_VERSION,
    Append,
    AppendAnswer,
    Commit,
    Heartbeat,
    HeartbeatAnswer,
    NotProposed,
    PeerHeader,
    PreVote,
    PreVoteAnswer,
    Vote,
)
from zraft.store.page import Group

STRANGER = 0xC


# --- another incarnation's message is dropped (S1)


def next_campaign(storage: Link) -> int:
    """The term of the next Campaign of a lone voter in term 3; it goes above every term that was met."""
    while not isinstance(message := storage.hear(), Campaign):  # a busy machine may see several ballots
        assert message == StatusQuery()
        storage.say(status(term=3))
    return message.term


def test_election_drops_what_another_incarnations_storage_says(stage: Stage) -> None:  # S1
    turn = turn_election(stage.election())
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    storage.say(status(term=9), THEIRS)
    storage.say(status(term=3))
    assert next_campaign(storage) == 4


def test_election_drops_what_another_incarnations_replication_says(stage: Stage) -> None:  # S1
    turn = turn_election(stage.election())
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    replication = stage.bind("replication.election", codec.election_to_replication, turn)
    storage.say(status(term=3))
    assert storage.hear() == StatusQuery()
    replication.say(Deposed(50), THEIRS)
    replication.say(Deposed(20))
    terms = {4}
    while terms == {4}:
        terms.add(next_campaign(storage))
    assert terms == {4, 21}


def test_election_drops_what_another_incarnations_gateway_says(stage: Stage) -> None:  # S1
    turn = turn_election(stage.election())
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    gateway = stage.connect("election.gateways", codec.election_to_gateway, turn)
    storage.say(status(term=3))
    assert storage.hear() == StatusQuery()
    gateway.say(RoundRequest(0, 1), THEIRS)
    gateway.say(RoundRequest(0, 2))
    assert gateway.hear() == RoundAnswer(2, 0)


def test_replication_drops_what_another_incarnations_election_says(stage: Stage) -> None:  # S1
    turn = turn_replication(stage.replication())
    election = stage.connect("replication.election", codec.replication_to_election, turn)
    election.say(Ping(1), THEIRS)
    election.say(Ping(2))
    assert election.hear() == Pong(2, 0, False, 0)


def test_replication_drops_what_another_incarnations_storage_says(stage: Stage) -> None:  # S1
    stage.page.publish(Group.IDENTITY, codec.encode(IdentityGroup(ME, ALONE.cluster_id(), ALONE.configuration())))
    turn = turn_replication(stage.replication())
    election = stage.connect("replication.election", codec.replication_to_election, turn)
    storage = stage.bind("storage.replication", codec.replication_to_storage, turn)
    election.say(Lead(5, EntryId(3, 2), ALONE.configuration()))
    election.say(Ping(1))
    assert isinstance(election.hear(), Pong)
    storage.say(AppendAnswer(9, False, 0, 0), THEIRS)
    storage.say(AppendAnswer(8, False, 0, 0))
    assert election.hear() == Deposed(8)


def test_replication_drops_what_another_incarnations_gateway_says(stage: Stage) -> None:  # S1, S9
    turn = turn_replication(stage.replication())
    gateway = stage.connect("replication.gateways", codec.replication_to_gateway, turn)
    first, second = (Origin(ME, 0, 77, number) for number in (1, 2))
    gateway.say(Propose(5, first, True, b"payload"), THEIRS)
    gateway.say(Propose(5, second, True, b"payload"))
    refused = gateway.hear()
    assert isinstance(refused, NotProposed)
    assert refused.origin == second


def test_storage_drops_what_another_incarnations_election_says(stage: Stage) -> None:  # S1
    turn = turn_storage(stage.storage())
    election = stage.connect("storage.election", codec.storage_to_election, turn)
    election.say(Ping(1), THEIRS)
    election.say(Ping(2))
    assert election.hear() == Pong(2, 0, False, 0)


def test_storage_drops_what_another_incarnations_replication_says(stage: Stage) -> None:  # S1
    turn = turn_storage(stage.storage())
    replication = stage.connect("storage.replication", codec.storage_to_replication, turn)
    replication.say(Read(0, 1, 1, 1000), THEIRS)
    replication.say(Read(0, 2, 1, 1000))
    answer = replication.hear()
    assert isinstance(answer, ReadAnswer)
    assert answer.peer == 2


# --- another one says to lead the term that is led (trap 2)


def test_a_leader_hears_no_second_one_of_its_term(stage: Stage) -> None:
    actor = stage.election()
    turn = turn_election(actor)
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    others = Others(stage, 0, ME, ALONE, turn)
    storage.say(status(term=3))
    while not isinstance(message := storage.hear(), Campaign):
        storage.say(status(term=3))
    storage.say(CampaignAnswer(message.term, message.ballot, True, message.term, EntryId(3, 2), ALONE.configuration()))
    wait_until(lambda: turn() is None and actor._election is not None and actor._election.role == LEADER, WAIT_S, "it")
    others.say(PEER, Heartbeat(message.term, 1))
    others.say(PEER, PreVote(message.term + 1, 1, EntryId(9, message.term)))
    assert codec.control.decode(others.hear()[1]) == PreVoteAnswer(message.term + 1, 1, False, message.term)
    assert actor._election is not None
    assert actor._election.role == LEADER


def formed_storage(stage: Stage) -> tuple[StorageActor, Others]:
    """One whose cluster has formed, and who may speak to it."""
    actor, _ = form(stage, Member(PEER, "node-2"))
    record = actor._log.record
    assert record is not None
    return actor, Others(stage, 1, actor._log.member, record, turn_storage(actor))


def catches_up_to(actor: StorageActor, stage: Stage) -> int | None:
    """What the page says of it."""
    actor._publish()
    payload = stage.page.load(Group.STORAGE)
    assert payload is not None
    return codec.storage_group.decode(payload).catching_up


def test_storage_hears_no_second_leader_of_a_term(stage: Stage) -> None:
    _, others = formed_storage(stage)
    for senders in ([PEER], [STRANGER, PEER]):
        for sender in senders:
            others.say(sender, Append(1, EntryId(0, 0), (), 0))
        header, frame = others.hear()
        answer = codec.data.decode(frame)
        assert isinstance(answer, AppendAnswer)
        assert (header.target, answer.success) == (PEER, True)


@pytest.mark.parametrize("message", [Append(1, EntryId(5, 1), (), 5), Commit(1, 5)], ids=["append", "commit"])
def test_storage_has_not_caught_up_before_it_has_what_its_leader_committed(stage: Stage, message: object) -> None:
    actor, others = formed_storage(stage)
    others.say(PEER, Append(1, EntryId(0, 0), (), 0))  # its log is as empty, and this tells of no commit
    assert others.hear()
    assert catches_up_to(actor, stage) == 0
    others.say(PEER, message)
    wait_until(lambda: turn_storage(actor)() is None and catches_up_to(actor, stage) == 5, WAIT_S, "the commit index")


# --- a term that can't be true is believed by nobody: there would be none above it to campaign in

FAR = TERM_LEAP_MAX + 100


def test_election_believes_no_question_of_a_term_out_of_reach(stage: Stage) -> None:
    turn = turn_election(stage.election())
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    others = Others(stage, 0, ME, PAIR, turn)
    storage.say(status(3, PAIR))
    assert storage.hear() == StatusQuery()
    for term in (FAR, 3):
        others.say(PEER, Heartbeat(term, 1))
    assert codec.control.decode(others.hear()[1]) == HeartbeatAnswer(3, 1, True, 3)


def test_election_believes_no_answer_of_a_term_out_of_reach(stage: Stage) -> None:
    actor = stage.election()
    storage = stage.bind("storage.election", codec.election_to_storage, turn_election(actor))
    storage.say(status(term=3))
    assert storage.hear() == StatusQuery()
    head = codec.encode(PeerHeader(PEER_VERSION, ALONE.cluster_id(), PEER, ME, OURS))
    for term in (FAR, 20):
        actor._guard(actor._on_answer, b"", [head, codec.encode(HeartbeatAnswer(3, 1, False, term))])
    assert next_campaign(storage) == 21


def test_replication_believes_no_answer_of_a_term_out_of_reach(stage: Stage) -> None:
    stage.page.publish(Group.IDENTITY, codec.encode(IdentityGroup(ME, PAIR.cluster_id(), PAIR.configuration())))
    actor = stage.replication()
    election = stage.connect("replication.election", codec.replication_to_election, turn_replication(actor))
    election.say(Lead(5, EntryId(3, 2), PAIR.configuration()))
    election.say(Ping(1))
    assert isinstance(election.hear(), Pong)
    head = codec.encode(PeerHeader(PEER_VERSION, PAIR.cluster_id(), PEER, ME, OURS))
    for term in (FAR, 8):
        actor._on_answer([head, codec.encode(AppendAnswer(term, False, 0, 0))], 0.0)
    assert election.hear() == Deposed(8)


def test_storage_believes_no_leader_of_a_term_out_of_reach(stage: Stage) -> None:
    actor, others = formed_storage(stage)
    for term in (FAR, 1):
        others.say(PEER, Append(term, EntryId(0, 0), (), 0))
    answer = codec.data.decode(others.hear()[1])
    assert isinstance(answer, AppendAnswer)
    assert (answer.term, answer.success, actor._log.term) == (1, True, 1)


# --- before storage was asked (S7)


@pytest.mark.parametrize("early", [Heartbeat(5, 1), Vote(5, 1, EntryId(9, 4))], ids=["acknowledges", "grants"])
def test_election_says_nothing_before_storage_has_told_its_term(stage: Stage, early: Heartbeat | Vote) -> None:  # S7
    """It might have promised a later term, or its vote to another, before it was started."""
    actor = stage.election()
    turn = turn_election(actor)
    storage = stage.bind("storage.election", codec.election_to_storage, turn)
    leader = stage.sockets.connect_local(f"tcp://127.0.0.1:{stage.settings.peer_port}")
    header = codec.encode(PeerHeader(PEER_VERSION, PAIR.cluster_id(), PEER, ME, THEIRS))
    leader.send_multipart([header, codec.encode(early)])
    assert actor._control.poll(int(WAIT_S * 1000))
    turn()
    storage.say(status(7, PAIR))

    def answered() -> bool:
        leader.send_multipart([header, codec.encode(Heartbeat(5, 2))])
        turn()
        return bool(leader.poll(0))

    wait_until(answered, WAIT_S, "an answer")
    assert codec.control.decode(leader.recv_multipart()[1]) == HeartbeatAnswer(5, 2, False, 7)


# --- the page


@pytest.mark.parametrize(
    ("actor", "groups"),
    [
        (Stage.election, {Group.LEASE, Group.ROLE, Group.NOTICE}),
        (Stage.replication, {Group.COMMIT}),
        (Stage.storage, {Group.STORAGE, Group.IDENTITY}),
    ],
    ids=["election", "replication", "storage"],
)
def test_a_new_incarnation_takes_back_what_the_one_before_published(  # S10, S12
    stage: Stage, actor: Callable[[Stage], object], groups: set[Group]
) -> None:
    """A lease, a commit index or a state of the dead would be believed, if the supervisor died with them."""
    for group in Group:
        stage.page.publish(group, b"of old")
    actor(stage)
    assert {group for group in Group if stage.page.load(group) is None} == groups
