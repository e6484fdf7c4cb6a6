"""A leader must be able to work: stuck and busy are told apart."""

import pytest

from zraft.core.vitality import Vitality


@pytest.fixture
def vitality() -> Vitality:
    return Vitality(now=10.0, limit=2.0)


def test_silence_is_a_stall(vitality: Vitality) -> None:
    assert [vitality.stalled(now) for now in (10.0, 12.0, 12.01)] == [False, False, True]


def test_an_actor_with_nothing_to_do_is_well(vitality: Vitality) -> None:
    vitality.pong(done=0, pending=False, now=11.0)
    vitality.pong(done=0, pending=False, now=12.5)
    assert [vitality.stalled(now) for now in (14.5, 14.51)] == [False, True]


def test_a_busy_actor_that_gets_on_is_well(vitality: Vitality) -> None:
    for second in range(11, 20):
        vitality.pong(done=second, pending=True, now=float(second))
    assert not vitality.stalled(21.0)


def test_answers_without_progress_are_a_stall(vitality: Vitality) -> None:
    # A dead disk behind a living process.
    for second in (11, 12, 13):
        vitality.pong(done=5, pending=True, now=float(second))
    assert [vitality.stalled(now) for now in (13.0, 13.01)] == [False, True]


def test_work_done_at_last_ends_a_stall(vitality: Vitality) -> None:
    vitality.pong(done=5, pending=True, now=11.0)
    vitality.pong(done=6, pending=True, now=20.0)
    assert not vitality.stalled(22.0)
