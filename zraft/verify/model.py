"""One key of the store as a register with conditional writes: what each command does, and what it must answer.

A revision that is not known exactly is written as ``~n``: it is above n. Only a write of unknown outcome that no read
ever saw has such a one.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

UNSEEN = "\0"
"""The value of a write that no read ever saw: all such writes leave the same state."""


class Kind(enum.IntEnum):
    """What a step does to its key."""

    PUT = 0
    DELETE = 1
    READ = 2
    REFUSED = 3
    """A write whose precondition failed: it tells the key's mod revision, and that it was not the expected one."""
    TRIED = 4
    """A write that was executed for sure, though nobody was told whether it had an effect: the key decides."""


class Span(NamedTuple):
    """A revision, or an effect, that is not known exactly: it is one of these."""

    least: int
    most: int


class Step(NamedTuple):
    """What one operation did to one key, or saw of it. ``revision`` 0: not known; only a write of unknown outcome.

    ``value`` None: a read that found nothing, or a delete that was tried. ``mod``, ``create``, ``version``: as a read
    was told them. ``before``, ``after``: the store's revision on both sides of a write that was tried.
    """

    kind: Kind
    revision: int
    value: str | None = None
    expected: int | None = None
    mod: int = 0
    create: int = 0
    version: int = 0
    before: Span = Span(0, 0)
    after: Span = Span(0, 0)


class State(NamedTuple):
    """A key. ``version`` 0: it is absent. ``at``: the store's revision, at least.

    ``limit``: ``create`` is below it; 0: nothing is known of that.
    """

    value: str | None
    mod: int
    create: int
    version: int
    at: int
    limit: int = 0


ABSENT = State(None, 0, 0, 0, 0)


def apply(state: State, step: Step) -> tuple[State, ...]:
    """The key after this step: mostly one state; two: nobody can tell which; none: the step can't come next."""
    if step.kind is Kind.TRIED:
        return _try(state, step)
    after = _follow(state, step)
    return () if after is None else (after,)


def _try(state: State, step: Step) -> tuple[State, ...]:
    """As it leaves the key without an effect, if it may have had none, and with it, if it may have had one."""
    found = []
    came_to = max(state.at, step.before.least)
    unchanged = max(came_to, step.after.least)
    if unchanged <= min(step.before.most, step.after.most) and not _is_effective(state, step):
        found.append(state._replace(at=unchanged))
    base, most = max(came_to, step.after.least - 1, step.expected or 0), min(step.before.most, step.after.most - 1)
    if base <= most:
        revision = base + 1 if base == most else 0
        kind = Kind.DELETE if step.value is None else Kind.PUT
        written = _follow(state._replace(at=base), Step(kind, revision, step.value, step.expected))
        if written is not None:
            found.append(written)
    return tuple(found)


def _is_effective(state: State, step: Step) -> bool:
    """Whether the write has an effect for sure."""
    if not state.version:
        return step.value is not None and not step.expected
    return step.expected is None or state.mod == step.expected


def _follow(state: State, step: Step) -> State | None:
    match step.kind:
        case Kind.READ:
            return _read(state, step)
        case Kind.REFUSED:
            return _refuse(state, step)
    reached = max(state.at, step.expected or 0)  # the store had come so far
    if not _holds(state, step.expected) or (step.revision and step.revision <= reached):
        return None
    at = step.revision or reached + 1
    mod = step.revision or ~reached
    if step.kind is Kind.PUT:
        value = step.value if step.revision else UNSEEN
        if not state.version:
            return State(value, mod, mod, 1, at)
        before = _told(state, step.expected) if step.expected else state
        return State(value, mod, before.create, state.version + 1, at, before.limit or step.revision)
    return State(None, mod, 0, 0, at) if state.version else None


def _read(state: State, step: Step) -> State | None:
    if step.revision < state.at or (step.value, step.version) != (state.value, state.version):
        return None
    if not state.version:
        return state._replace(at=step.revision)
    if not (_agrees(state.mod, step.mod) and _agrees(state.create, step.create)):
        return None
    if state.limit and step.create >= state.limit:
        return None
    return State(state.value, step.mod, step.create, state.version, step.revision)


def _refuse(state: State, step: Step) -> State | None:
    if step.revision < state.at or step.mod == step.expected or (step.mod > 0) != (state.version > 0):
        return None
    if not state.version:
        return state._replace(at=step.revision)
    return _told(state, step.mod)._replace(at=step.revision) if _agrees(state.mod, step.mod) else None


def _told(state: State, mod: int) -> State:
    """The mod revision of a key that is there is known now: of its first version it is the create revision, too."""
    if state.version == 1:
        return state._replace(mod=mod, create=mod)
    return state._replace(mod=mod, limit=state.limit or mod)


def _holds(state: State, expected: int | None) -> bool:
    if expected is None or not state.version:
        return not expected
    return expected > 0 and _agrees(state.mod, expected)


def _agrees(held: int, told: int) -> bool:
    return told == held if held >= 0 else told > ~held
