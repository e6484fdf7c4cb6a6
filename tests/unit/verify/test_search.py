"""The search by itself, on a register without any revisions: what Porcupine and Knossos judge."""

import math

import pytest

from zraft.verify.search import Call, Pending, search

Access = tuple[str, int]


def apply(value: int, access: Access) -> tuple[int, ...]:
    kind, other = access
    if kind == "write":
        return (other,)
    if kind == "maybe":  # write, or leave it
        return value, other
    return (value,) if value == other else ()


def calls(*lines: tuple[float, float, str, int]) -> list[Call[Access]]:
    return sorted(Call(begin, end, (kind, value)) for begin, end, kind, value in lines)


def stuck_at(placed: list[Call[Access]], *queues: list[Call[Access]]) -> Access | None:
    found = search(placed, Pending(queues, ()), apply, 0)
    return found.call.what if found else None


@pytest.mark.parametrize(
    "lines",
    [
        [(1, 2, "write", 1), (3, 4, "read", 1)],
        [(1, 9, "write", 1), (2, 3, "read", 0), (4, 5, "read", 1)],
        [(1, 9, "write", 1), (2, 3, "read", 1), (4, 5, "write", 2), (6, 7, "read", 2)],
        [(1, 9, "write", 1), (1, 9, "write", 2), (2, 3, "read", 2), (4, 5, "read", 1)],
    ],
)
def test_an_order_is_found(lines: list[tuple[float, float, str, int]]) -> None:
    assert stuck_at(calls(*lines)) is None


@pytest.mark.parametrize(
    ("lines", "stuck"),
    [
        ([(1, 2, "write", 1), (3, 4, "read", 0)], ("read", 0)),
        ([(1, 9, "write", 1), (2, 3, "read", 1), (4, 5, "read", 0)], ("read", 0)),
        ([(1, 3, "write", 1), (1, 3, "write", 2), (4, 5, "read", 2), (6, 7, "read", 1)], ("read", 1)),
    ],
)
def test_who_fits_nowhere_is_told(lines: list[tuple[float, float, str, int]], stuck: Access) -> None:
    assert stuck_at(calls(*lines)) == stuck


def test_a_pending_call_may_take_effect_late_or_never() -> None:
    pending = calls((1, math.inf, "write", 7))
    assert stuck_at(calls((2, 3, "read", 0), (4, 5, "read", 0)), pending) is None
    assert stuck_at(calls((2, 3, "read", 0), (4, 5, "read", 7)), pending) is None
    assert stuck_at(calls((2, 3, "read", 7), (4, 5, "read", 0)), pending) == ("read", 0)


def test_a_pending_call_takes_effect_once_and_not_before_it_began() -> None:
    pending = calls((4, math.inf, "write", 7))
    assert stuck_at(calls((2, 3, "read", 7)), pending) == ("read", 7)
    assert stuck_at(calls((5, 6, "read", 7), (7, 8, "write", 1), (9, 10, "read", 7)), pending) == ("read", 7)


def test_a_call_may_leave_the_object_in_one_of_several_states() -> None:
    assert stuck_at(calls((1, 2, "maybe", 7), (3, 4, "read", 0), (5, 6, "read", 0))) is None
    assert stuck_at(calls((1, 2, "maybe", 7), (3, 4, "read", 7), (5, 6, "read", 7))) is None
    assert stuck_at(calls((1, 2, "maybe", 7), (3, 4, "read", 7), (5, 6, "read", 0))) == ("read", 0)


def test_many_calls_that_overlap_need_not_take_for_ever() -> None:
    """Lowe's memory: without it, 20 reads in a window of 20 writes would be tried in every order."""
    writes = [(0.0, 100.0, "write", number % 2) for number in range(1, 13)]
    assert stuck_at(calls(*writes, (101, 102, "read", 3))) == ("read", 3)
