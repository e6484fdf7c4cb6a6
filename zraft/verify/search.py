"""Linearizability of one object: the search of Wing and Gong, with Lowe's memory of the states that led nowhere.

It looks for an order of the calls in which each fits what came before, and in which a call that had ended before
another one began comes first. Time and space are those of the calls that overlap, not of the history's length: a
configuration is the first call that is not placed yet and a bit for each one placed behind it.

Pending calls, which may have taken effect at any time after they began, or never, stand in queues of
interchangeable ones: whoever may take one may as well take the one that began first, so a configuration holds but the
number taken of each queue, not which. Of pending calls that take effect once by their nature, whatever comes (a write
on condition of a revision, say), not even that. Nothing has to be undone, since configurations are values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

KEPT_MAX = 32
"""Calls of the longest order that are told."""

S = TypeVar("S")
C = TypeVar("C")


class Call(NamedTuple, Generic[C]):
    """A call, and the time within which it took effect. Of two overlapping ones the lower ``rank`` came first."""

    begin: float
    end: float
    what: C
    rank: int = 0


class Pending(NamedTuple, Generic[C]):
    """Pending calls, sorted by when they began: queues of interchangeable ones, and those that exclude themselves."""

    queues: Sequence[Sequence[Call[C]]]
    singles: Sequence[Call[C]]


class Stuck(NamedTuple, Generic[C]):
    """There is no such order: the end of the longest that was found, and the call that had to follow and can't."""

    order: tuple[Call[C], ...]
    call: Call[C]


class _Place(NamedTuple, Generic[S]):
    """A configuration: all calls before ``base`` are placed, and those whose bit (from ``base`` on) is set.

    ``taken``: how many of each queue of pending calls.
    """

    base: int
    window: int
    taken: tuple[int, ...]
    state: S

    def placed(self) -> int:
        """How many calls are placed that took effect for sure."""
        return self.base + self.window.bit_count()


def search(
    calls: Sequence[Call[C]], pending: Pending[C], apply: Callable[[S, C], Sequence[S]], initial: S
) -> Stuck[C] | None:
    """None if there is an order in which all calls, and some pending ones, fit.

    Args:
        calls: those that took effect, sorted by when they began.
        pending: those that may have taken effect.
        apply: the states in which a call may leave the object, mostly one; none: the call can't come next.
        initial: the object's first state.
    """
    place: _Place[S] = _Place(0, 0, (0,) * len(pending.queues), initial)
    seen = {place}
    path: list[_Branch[C, S]] = [_Branch(None, place, _next(calls, pending, apply, place))]
    best, best_order = place, tuple[Call[C], ...]()
    while place.base < len(calls):
        following = next((one for one in path[-1].choices if one[1] not in seen), None)
        if following is not None:
            call, place = following
            seen.add(place)
            path.append(_Branch(call, place, _next(calls, pending, apply, place)))
            continue
        if path[-1].place.placed() > best.placed():  # a dead end, and the farthest so far
            best = path[-1].place
            best_order = tuple(branch.call for branch in path[-KEPT_MAX:] if branch.call is not None)
        path.pop()
        if not path:
            return Stuck(best_order, min(_open(calls, best), key=lambda index_call: index_call[1].end)[1])
        place = path[-1].place
    return None


class _Branch(NamedTuple, Generic[C, S]):
    """A step of the path: the call taken last, where it led, and what may be taken next."""

    call: Call[C] | None
    place: _Place[S]
    choices: Iterator[tuple[Call[C], _Place[S]]]


def _next(
    calls: Sequence[Call[C]], pending: Pending[C], apply: Callable[[S, C], Sequence[S]], place: _Place[S]
) -> Iterator[tuple[Call[C], _Place[S]]]:
    """The calls that may come next, each with where that leads; calls that took effect before pending ones."""
    candidates = _open(calls, place)
    limit = min(call.end for _, call in candidates)
    rank = min(call.rank for _, call in candidates)
    found = []
    for index, call in candidates:
        states = apply(place.state, call.what) if call.rank == rank else ()
        if len(states) == 1 and states[0] == place.state:  # it changes nothing, so there is no reason to wait with it
            yield call, _with(place, index, place.state)
            return
        found += [(call, _with(place, index, state)) for state in states]
    yield from found
    for number, queue in enumerate(pending.queues):
        taken = place.taken[number]
        if taken < len(queue) and queue[taken].begin <= limit:
            more = (*place.taken[:number], taken + 1, *place.taken[number + 1 :])
            for state in apply(place.state, queue[taken].what):
                yield queue[taken], _Place(place.base, place.window, more, state)
    for call in pending.singles:
        if call.begin > limit:
            return
        for state in apply(place.state, call.what):
            yield call, _Place(place.base, place.window, place.taken, state)


def _open(calls: Sequence[Call[C]], place: _Place[S]) -> list[tuple[int, Call[C]]]:
    """The calls not placed yet that began before any other of these had ended, by index."""
    found = []
    limit = math.inf
    for index in range(place.base, len(calls)):
        call = calls[index]
        if call.begin > limit:
            break
        if not place.window >> (index - place.base) & 1:
            found.append((index, call))
            limit = min(limit, call.end)
    return [(index, call) for index, call in found if call.begin <= limit]


def _with(place: _Place[S], index: int, state: S) -> _Place[S]:
    base, window = place.base, place.window | 1 << (index - place.base)
    while window & 1:
        base, window = base + 1, window >> 1
    return _Place(base, window, place.taken, state)
