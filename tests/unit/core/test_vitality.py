"""A leader must be able to work: stuck and busy are told apart."""

import pytest

from zraft.actors.beat import BEAT_SECONDS
from zraft.config import BOUNDS
from zraft.core.vitality import (
    GATEWAY,
    LOOK_SECONDS_MAX,
    REPLICATION,
    RESORT_SECONDS_MAX,
    SIGN_OF_LIFE,
    STORAGE,
    Beats,
    Pulse,
    Vitality,
)
from zraft.protocol.local import Pong


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


def test_work_of_a_new_kind_ends_a_stall_but_no_silence(vitality: Vitality) -> None:
    for second in (11, 12, 13):
        vitality.pong(done=5, pending=True, now=float(second))
    vitality.begin(now=13.5)
    assert [vitality.stalled(now) for now in (13.5, 15.0, 15.01)] == [False, False, True]
    vitality.pong(done=0, pending=True, now=16.0)  # whatever it had done before
    assert not vitality.stalled(18.0)


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


@pytest.mark.parametrize("limit", [BOUNDS["stall_limit_ms"][0] / 1000, 2.0])
def test_a_gateway_that_lives_is_well_whatever_the_limit(limit: float) -> None:
    # Its beats come as late as its loop may turn, and then some.
    pulse = Pulse(10.0, limit)
    for step in range(10):
        now = 10.0 + (1.0 + BEAT_SECONDS) * step
        assert GATEWAY not in pulse.stalled(now)
        pulse.pong(GATEWAY, SIGN_OF_LIFE, now)


def answering(until: float, *, is_blocked: bool = False) -> Pulse:
    """Of a node without a gateway, at ``until``; ``is_blocked``: storage has no room to apply what is committed."""
    pulse = Pulse(0.0, 2.0)
    for step in range(int(until * 4) + 1):
        pulse.pong(STORAGE, Pong(step, 5, is_blocked, 3), step / 4)
        pulse.pong(REPLICATION, Pong(step, 0, False, 0), step / 4)
    return pulse


@pytest.mark.parametrize("is_blocked", [False, True])
def test_who_can_not_serve_campaigns_only_where_nobody_leads_for_long(is_blocked: bool) -> None:
    pulse = answering(1_000, is_blocked=is_blocked)
    assert pulse.hinders(1_000.0, 4.9) == (STORAGE if is_blocked else GATEWAY)
    assert pulse.hinders(1_000.0, 5.0) == ""


def test_each_try_of_who_can_not_serve_makes_the_pause_longer_until_all_was_well_for_long() -> None:
    pulse, now = answering(10_000), 10_000.0
    pauses: list[int] = []
    while len(pauses) < 9:
        pauses.append(next(pause for pause in (5, 10, 20, 40, 80, 160, 320) if not pulse.hinders(now, float(pause))))
        now += pauses[-1]
        for name in (STORAGE, REPLICATION):
            pulse.pong(name, Pong(1, 0, False, 3), now)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 320, 320]
    later = now + 5 * RESORT_SECONDS_MAX
    for name in (STORAGE, REPLICATION):
        pulse.pong(name, Pong(1, 0, False, 3), later)
    assert pulse.hinders(later, 320.0) == ""
    assert [bool(pulse.hinders(later + 1, pause)) for pause in (9.9, 10.0)] == [True, False]


def test_an_actor_that_does_not_answer_forbids_it_for_ever() -> None:
    pulse = answering(10)
    assert pulse.hinders(13.0, 1_000.0) == STORAGE
