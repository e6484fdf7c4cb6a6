"""A leader must be able to work: stuck and busy are told apart."""

import pytest

from zraft.core.vitality import LOOK_SECONDS_MAX, Beats, Vitality


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


def test_who_answers_is_not_silent_though_it_is_stuck(vitality: Vitality) -> None:
    for second in (11, 12, 13):
        vitality.pong(done=5, pending=True, now=float(second))
    assert [(vitality.stalled(now), vitality.silent(now)) for now in (13.01, 15.0, 15.01)] == [
        (True, False),
        (True, False),
        (True, True),
    ]


def test_work_done_at_last_ends_a_stall(vitality: Vitality) -> None:
    vitality.pong(done=5, pending=True, now=11.0)
    vitality.pong(done=6, pending=True, now=20.0)
    assert not vitality.stalled(22.0)


def test_silence_is_counted_from_the_last_sign_of_life() -> None:
    beats = Beats()
    assert beats.look({"gateway": (7, 1)}, 100.0) == {"gateway": 0.0}
    assert beats.look({"gateway": (7, 1)}, 101.0) == {"gateway": 1.0}
    assert beats.look({"gateway": (7, 1)}, 102.5) == {"gateway": 2.5}
    assert beats.look({"gateway": (7, 2)}, 103.0) == {"gateway": 0.0}


def test_a_pause_of_whoever_looks_says_nothing_of_others() -> None:
    beats = Beats()
    beats.look({"gateway": (7, 1)}, 100.0)
    assert beats.look({"gateway": (7, 1)}, 900.0) == {"gateway": LOOK_SECONDS_MAX}


def test_who_was_started_anew_has_not_been_silent() -> None:
    beats = Beats()
    for now in (100.0, 101.0, 102.0):
        beats.look({"gateway": (7, 1), "storage": (8, 1)}, now)
    assert beats.look({"gateway": (9, 1)}, 103.0) == {"gateway": 0.0}
    assert beats.look({"gateway": (9, 1), "storage": (8, 1)}, 104.0) == {"gateway": 1.0, "storage": 0.0}
