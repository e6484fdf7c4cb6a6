"""Entries that a leader reads back from its log, for a peer that lags."""

import pytest

from tests.unit.core.cast import (
    NOBODY,
    A,
    B,
    entries,
    log_of,
)
from zraft.core.acceptor import Acceptor
from zraft.core.effects import Answer
from zraft.protocol.entries import EntryId
from zraft.protocol.local import (
    Read,
    ReadAnswer,
)


def test_a_leader_reads_its_log() -> None:
    acceptor = Acceptor(log_of(1, 2, 2, term=3, vote=A))
    everything = 1 << 20
    assert acceptor.step(Read(3, B, 1, everything), A) == Answer(ReadAnswer(3, B, NOBODY, entries(1, 1, 2, 2)))
    assert acceptor.step(Read(3, B, 3, everything), A) == Answer(ReadAnswer(3, B, EntryId(2, 2), entries(3, 2)))
    assert acceptor.step(Read(3, B, 2, bytes_max=1), A) == Answer(ReadAnswer(3, B, EntryId(1, 1), entries(2, 2)))


@pytest.mark.parametrize("term", [2, 4])
def test_a_leader_reads_in_its_own_term_only(term: int) -> None:  # S4
    acceptor = Acceptor(log_of(1, 2, term=3))
    assert acceptor.step(Read(term, B, 1, 1 << 20), A) == Answer(ReadAnswer(3, B, NOBODY, ()))


def test_what_the_log_does_not_hold_can_not_be_read() -> None:
    acceptor = Acceptor(log_of(1, 2, term=3))
    assert acceptor.step(Read(3, B, 4, 1 << 20), A) == Answer(ReadAnswer(3, B, NOBODY, ()))
