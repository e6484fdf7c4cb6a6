"""What is still taken when the disk has little room, and who decides it."""

import pytest

from tests.unit.core.cast import log_of
from zraft.core.room import ENOUGH, EXHAUSTED, LACKS, RESERVE, Room, lack_of_room
from zraft.errors import ResourceExhausted, Unavailable, ZraftError
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, encode_entry
from zraft.protocol.peer import Append

EMPTY = encode_entry(6, 3, EntryKind.EMPTY)
COMMANDS = encode_entry(7, 3, EntryKind.COMMANDS, NO_ORIGIN, b"commands")
BEHIND = EntryId(5, 2)
LOG = log_of(1, 1, 2, 2, 2)


def append(*entries: bytes, commit: int = 5) -> Append:
    return Append(3, BEHIND, entries, commit)


@pytest.mark.parametrize(
    ("level", "growing", "error"),
    [
        (ENOUGH, True, None),
        (RESERVE, False, None),
        (RESERVE, True, ResourceExhausted),
        (EXHAUSTED, False, ResourceExhausted),
        (EXHAUSTED, True, ResourceExhausted),
    ],
)
def test_a_leader_decides_for_all(level: int, growing: bool, error: type[ZraftError] | None) -> None:
    fault = lack_of_room("a", level, leads=True, growing=growing)
    assert (type(fault), str(fault)) == (error, LACKS[level]) if error else fault is None


@pytest.mark.parametrize("growing", [False, True])
def test_who_follows_decides_for_itself(growing: bool) -> None:
    assert lack_of_room("a", RESERVE, leads=False, growing=growing) is None
    fault = lack_of_room("a", EXHAUSTED, leads=False, growing=growing)
    assert isinstance(fault, Unavailable)
    assert str(fault) == f"a: {LACKS[EXHAUSTED]}"


@pytest.mark.parametrize("message", [append(), append(COMMANDS), append(EMPTY, COMMANDS)])
def test_with_room_everything_is_taken(message: Append) -> None:
    assert Room().admit(message, False, LOG) is message


@pytest.mark.parametrize("message", [append(), append(EMPTY)])
def test_what_costs_no_more_than_a_vote_is_always_taken(message: Append) -> None:
    assert Room().admit(message, True, LOG) is message


def test_a_new_leaders_first_entry_is_taken_without_what_travels_behind_it() -> None:
    # Else no node without room would let it become able to serve reads.
    room = Room()
    assert room.admit(append(EMPTY, COMMANDS, EMPTY, commit=6), True, LOG) == append(EMPTY, commit=6)
    assert not room.starved


def test_what_the_log_has_is_taken_once_more() -> None:
    # By a probe that goes back to where two logs agree, which may be far before their ends.
    held = encode_entry(4, 2, EntryKind.COMMANDS, NO_ORIGIN, b"commands"), encode_entry(5, 2, EntryKind.EMPTY)
    probe = Append(3, EntryId(3, 2), (*held, EMPTY, COMMANDS), 5)
    assert Room().admit(probe, True, LOG) == Append(3, EntryId(3, 2), (*held, EMPTY), 5)
    other = encode_entry(4, 1, EntryKind.COMMANDS, NO_ORIGIN, b"commands")
    assert Room().admit(Append(3, EntryId(3, 2), (other,), 5), True, LOG) is None


def test_who_refuses_what_the_others_have_committed_is_starved_until_it_takes_something() -> None:
    room = Room()
    assert room.admit(append(COMMANDS, commit=5), True, LOG) is None
    assert not room.starved  # nobody has it: the leader lacks room as well, perhaps
    assert room.admit(append(COMMANDS, commit=6), True, LOG) is None
    assert room.starved
    assert room.admit(append(commit=6), True, LOG) == append(commit=6)  # a question says nothing
    assert room.starved
    room.admit(append(COMMANDS, commit=6), False, LOG)
    assert not room.starved
