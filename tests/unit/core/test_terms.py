"""Terms that nobody can have reached are not believed."""

import msgspec
import pytest

from zraft.core.terms import TERM_LEAP_MAX, require_leader, require_near
from zraft.errors import ProtocolError
from zraft.protocol import codec
from zraft.protocol.entries import NUMBER_MAX, EntryId
from zraft.protocol.peer import (
    Append,
    AppendAnswer,
    Commit,
    ControlMessage,
    DataMessage,
    DataRequest,
    Diverged,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    InstallAnswer,
    InstallSnapshot,
    PreVote,
    PreVoteAnswer,
    SnapshotId,
    TimeoutNow,
    Vote,
    VoteAnswer,
)

KNOWN = 7
FAR = KNOWN + TERM_LEAP_MAX
LAST = EntryId(0, 0)
SNAPSHOT = SnapshotId(1, 1, 1, b"")


def messages(term: int) -> list[ControlMessage | DataMessage]:
    """Each message that tells a term, in each place where it does."""
    return [
        PreVote(term, 1, LAST),
        PreVoteAnswer(term, 1, False, 0),
        PreVoteAnswer(0, 1, False, term),
        Vote(term, 1, LAST),
        VoteAnswer(term, 1, True, 0),
        VoteAnswer(0, 1, True, term),
        Heartbeat(term, 1),
        HeartbeatAnswer(term, 1, True, 0),
        HeartbeatAnswer(0, 1, False, term),
        TimeoutNow(term),
        Append(term, LAST, (), 0),
        AppendAnswer(term, True, 0, 0),
        Commit(term, 0),
        InstallSnapshot(term, SNAPSHOT, 0, 0, b""),
        InstallAnswer(term, SNAPSHOT, 0),
        Diverged(term, 0, 0, 0),
    ]


@pytest.mark.parametrize("message", messages(FAR), ids=repr)
def test_what_elections_can_have_come_to_is_believed(message: ControlMessage | DataMessage) -> None:
    require_near(message, KNOWN)


@pytest.mark.parametrize("message", messages(FAR + 1), ids=repr)
def test_what_they_can_not_is_not(message: ControlMessage | DataMessage) -> None:
    with pytest.raises(ProtocolError, match=f"term {FAR + 1} can't be true: this node knows of term {KNOWN}"):
        require_near(message, KNOWN)


def test_no_message_that_tells_a_term_is_forgotten_here() -> None:
    named = {type(message) for message in messages(0)}
    assert {*ControlMessage.__args__, *DataMessage.__args__} - named == {Hello}
    told = [(type(message), name) for message in messages(FAR) for name in where(message, FAR)]
    fields = [(one, name) for one in named for name in one.__struct_fields__ if "term" in name]
    assert sorted(told, key=repr) == sorted(fields, key=repr)


def where(message: ControlMessage | DataMessage, term: int) -> list[str]:
    return [name for name in message.__struct_fields__ if getattr(message, name) == term]


def test_a_hello_tells_none() -> None:
    require_near(Hello("node-1", 1, ("node-1",), 150, b"", b"", (), False), 0)


@pytest.mark.parametrize(
    "message",
    [
        PreVote(KNOWN, 1, EntryId(9, KNOWN)),
        Vote(KNOWN, 1, EntryId(9, KNOWN)),
        Append(KNOWN, EntryId(9, KNOWN + 1), (), 0),
        InstallSnapshot(KNOWN, SnapshotId(9, KNOWN + 1, 1, b""), 0, 0, b""),
    ],
    ids=repr,
)
def test_nor_is_an_entry_of_a_term_that_comes_later(message: ControlMessage | DataMessage) -> None:
    with pytest.raises(ProtocolError, match=f"a message of term {KNOWN} speaks of an entry of a term that comes later"):
        require_near(message, KNOWN)


LEADERS = [one for one in messages(KNOWN) if isinstance(one, Heartbeat | TimeoutNow | DataRequest)]


@pytest.mark.parametrize("message", LEADERS, ids=repr)
def test_a_term_has_one_leader_whoever_says_to_be_another_one(message: ControlMessage | DataMessage) -> None:  # trap 2
    require_leader(message, 1, (KNOWN, 1))
    require_leader(message, 2, (KNOWN, 0))  # none is known
    require_leader(message, 2, (KNOWN - 1, 1))
    with pytest.raises(ProtocolError, match=f"0002 says to lead term {KNOWN}, which 0{{15}}1 leads"):
        require_leader(message, 2, (KNOWN, 1))


def test_others_may_say_what_they_like_of_a_term_that_is_led() -> None:
    for message in messages(KNOWN):
        if message not in LEADERS:
            require_leader(message, 2, (KNOWN, 1))


@pytest.mark.parametrize("term", [-1, NUMBER_MAX + 1, 2**64 - 1])
def test_what_can_not_be_stored_is_not_even_decoded(term: int) -> None:
    frames = [msgspec.msgpack.encode(message) for message in messages(term)]
    for frame, message in zip(frames, messages(term), strict=True):
        channel = codec.control if isinstance(message, ControlMessage) else codec.data
        with pytest.raises(ProtocolError, match="undecodable message"):
            channel.decode(frame)
