"""The acceptor over a log that no longer reaches back to the beginning."""

import pytest

from tests.simulation.memory import MemoryLog
from tests.unit.core.cast import NOBODY, A, B, entries, entry, log_of
from zraft.core.acceptor import Acceptor
from zraft.core.effects import Answer
from zraft.core.versions import SUPPORTED
from zraft.errors import InvariantViolated
from zraft.protocol.entries import EntryId
from zraft.protocol.local import Read, ReadAnswer
from zraft.protocol.peer import Append, AppendAnswer


def append(term: int, previous: EntryId, *terms: int, commit: int = 0) -> Append:
    return Append(term, previous, entries(previous.index + 1, *terms), commit)


def matched(term: int, match: int, commit: int = 0, probe: int = 0) -> object:
    return Answer(AppendAnswer(term, True, match, commit, probe, version=SUPPORTED))


def cut_log(to: int, *terms: int) -> MemoryLog:
    """A log of which the entries up to ``to`` were cut."""
    log = log_of(*terms)
    log.cut(to)
    log.commit()
    return log


@pytest.mark.parametrize("carried", [0, 1, 4])
def test_an_append_of_before_the_log_is_answered_with_its_base(carried: int) -> None:
    # All up to the base is committed, so the leader has it too (leader completeness), and goes on behind it.
    log = cut_log(3, 1, 1, 2, 2)
    acceptor = Acceptor(log, applied=3)
    message = append(2, EntryId(1, 1), *(1, 2, 2, 2)[:carried], commit=4)
    assert acceptor.step(message, B) == matched(2, 3, commit=3, probe=1)
    assert (log.base, log.last, acceptor.commit) == (EntryId(3, 2), EntryId(4, 2), 3)
    acceptor.check_invariants()


def test_an_old_leaders_append_of_before_the_log_is_refused() -> None:  # S4: the term is looked at first
    log = cut_log(3, 1, 1, 2, 2)
    assert Acceptor(log, applied=3).step(append(1, EntryId(1, 1)), B) == Answer(
        AppendAnswer(2, False, 0, 3, probe=1, version=SUPPORTED)
    )


def test_an_append_behind_the_base_is_taken() -> None:
    log = cut_log(2, 1, 1)
    assert Acceptor(log, applied=2).step(append(2, EntryId(2, 1), 2, 2, commit=3), B) == matched(2, 4, 3, probe=2)
    assert (log.base, log.last) == (EntryId(2, 1), EntryId(4, 2))


def test_the_hint_does_not_go_back_behind_the_base() -> None:
    log = cut_log(2, 2, 2, 2, 2)
    answer = Acceptor(log, applied=2).step(append(4, EntryId(4, 3)), B)
    assert answer == Answer(AppendAnswer(4, False, 0, 2, probe=4, conflict=EntryId(3, 2), version=SUPPORTED))


@pytest.mark.parametrize(("first", "found"), [(1, NOBODY), (2, NOBODY), (3, EntryId(2, 1)), (4, EntryId(3, 2))])
def test_entries_that_were_cut_can_not_be_read(first: int, found: EntryId) -> None:
    acceptor = Acceptor(cut_log(2, 1, 1, 2, 2), applied=2)
    held = tuple(entry(index, 2) for index in range(first, 5)) if found != NOBODY else ()
    assert acceptor.step(Read(2, B, first, 1 << 20), A) == Answer(ReadAnswer(2, B, found, held))


def test_a_log_that_begins_behind_what_was_applied_is_found_out() -> None:  # trap 24
    with pytest.raises(InvariantViolated, match="base <= applied"):
        Acceptor(cut_log(2, 1, 1, 1), applied=1).check_invariants()
