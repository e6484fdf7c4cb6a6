"""A leader hands over to who is preferred, when both have been calm, and ever more rarely if it comes to nothing."""

import itertools

from zraft.core.preference import CALM_SECONDS, HEARD_SECONDS, PAUSE_SECONDS_MAX, Preference, priority_of
from zraft.core.room import ENOUGH, EXHAUSTED, RESERVE

ALL = ("a", "b", "c")


def heard(preference: Preference, until: float, since: float = 0.0, **priorities: int) -> None:
    """Greetings once a second."""
    for second in range(int(until - since) + 1):
        for name, priority in priorities.items():
            preference.on_greeting(name, priority, since + second)


def tries(own: int, until: int, **priorities: int) -> list[tuple[int, str]]:
    """When a leader of term 1 asks whom to take over, if nothing ever comes of it."""
    preference = Preference()
    found = []
    for second in range(until):
        heard(preference, second, second, **priorities)
        name = preference.successor(own, 1, ALL, second)
        found += [(second, name)] if name else []
    return found


def test_the_preferred_one_is_asked_after_a_calm_time() -> None:
    assert tries(1, 15, b=2, c=3) == [(CALM_SECONDS, "c")]


def test_who_is_not_preferred_to_the_leader_is_never_asked() -> None:
    assert tries(1, 1000, b=1, c=0) == []


def test_a_leader_of_priority_0_hands_over_to_any_other() -> None:
    assert tries(0, 15, c=1, b=1) == [(CALM_SECONDS, "b")]


def test_each_try_makes_the_pause_longer() -> None:
    times = [when for when, _ in tries(1, 2000, b=2)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == [10, 20, 40, 80, 160, 320, 640, 640]


def test_the_longest_pause_stays_the_longest() -> None:
    preference = Preference()
    times = []
    for step in range(12_000):  # seldom at the very moment at which the pause ends
        heard(preference, step * 0.7, step * 0.7, b=2)
        times += [step * 0.7] if preference.successor(1, 1, ALL, step * 0.7) else []
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[6:]
    assert all(PAUSE_SECONDS_MAX <= gap < PAUSE_SECONDS_MAX + 1 for gap in gaps[6:])


def test_without_room_it_hands_over_to_any_that_has_some() -> None:
    assert [priority_of(5, level) for level in (ENOUGH, RESERVE, EXHAUSTED)] == [5, -1, -2]
    assert tries(-1, 15, b=-1, c=0) == [(CALM_SECONDS, "c")]
    assert tries(-2, 15, b=-1, c=-2) == [(CALM_SECONDS, "b")]  # that takes deletes still
    assert tries(-1, 1000, b=-1, c=-2) == []


def test_who_has_room_only_now_has_not_been_calm() -> None:
    preference = Preference()
    preference.successor(1, 1, ALL, 0.0)
    heard(preference, 19, b=-1)
    heard(preference, 29, 20, b=5)
    assert preference.successor(1, 1, ALL, 29.0) == ""
    heard(preference, 30, 30, b=5)
    assert preference.successor(1, 1, ALL, 30.0) == "b"


def test_the_pause_outlasts_a_term_and_is_forgotten_in_the_end() -> None:
    preference = Preference()
    heard(preference, 20, b=2)
    assert preference.successor(1, 1, ALL, 0.0) == ""
    assert preference.successor(1, 1, ALL, 20.0) == "b"
    assert preference.successor(1, 0, ALL, 21.0) == ""
    heard(preference, 32, 21, b=2)
    assert preference.successor(1, 3, ALL, 21.5) == ""
    assert preference.successor(1, 3, ALL, 32.0) == "b"
    later = 32 + 2 * PAUSE_SECONDS_MAX
    heard(preference, later + 12, later, b=2)
    assert preference.successor(1, 3, ALL, later + 11) == "b"
    heard(preference, later + 22, later + 12, b=2)
    assert preference.successor(1, 3, ALL, later + 21) == "b"  # the shortest pause again


def test_a_new_leader_is_left_in_office_for_a_while() -> None:
    preference = Preference()
    heard(preference, 20, b=2)
    assert preference.successor(1, 0, ALL, 0.0) == ""
    assert preference.successor(1, 2, ALL, 15.0) == ""
    assert preference.successor(1, 2, ALL, 20.0) == ""
    heard(preference, 25, 21, b=2)
    assert preference.successor(1, 2, ALL, 25.0) == "b"


def test_who_was_away_must_be_calm_again_and_who_is_away_is_not_asked() -> None:
    preference = Preference()
    preference.successor(1, 1, ALL, 0.0)
    heard(preference, 15, b=2)
    assert preference.successor(1, 1, ALL, 15 + HEARD_SECONDS + 1) == ""
    heard(preference, 29, 20, b=2)
    assert preference.successor(1, 1, ALL, 29.0) == ""
    heard(preference, 30, 30, b=2)
    assert preference.successor(1, 1, ALL, 30.0) == "b"


def test_learners_and_strangers_are_not_asked() -> None:
    preference = Preference()
    preference.successor(1, 1, ("a", "b"), 0.0)
    heard(preference, 15, c=9)
    assert preference.successor(1, 1, ("a", "b"), 15.0) == ""
