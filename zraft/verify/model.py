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


class Step(NamedTuple):
    """What one operation did to one key, or saw of it. ``revision`` 0: not known; only a write of unknown outcome.

    ``value`` None: a read that found nothing. ``mod``, ``create``, ``version``: as a read was told them.
    """

    kind: Kind
    revision: int
    value: str | None = None
    expected: int | None = None
    mod: int = 0
    create: int = 0
    version: int = 0


class State(NamedTuple):
    """A key. ``version`` 0: it is absent. ``at``: the store's revision, at least."""

    value: str | None
    mod: int
    create: int
    version: int
    at: int


ABSENT = State(None, 0, 0, 0, 0)


def apply(state: State, step: Step) -> State | None:
    """The key after this step; None: the step can't come next."""
    match step.kind:
        case Kind.READ:
            return _read(state, step)
        case Kind.REFUSED:
            return _refuse(state, step)
    before = max(state.at, step.expected or 0)  # the store had come so far
    if not _holds(state, step.expected) or (step.revision and step.revision <= before):
        return None
    at = step.revision or before + 1
    mod = step.revision or ~before
    if step.kind is Kind.PUT:
        value = step.value if step.revision else UNSEEN
        create = state.create if state.version else mod
        if state.version == 1 and step.expected:  # the put that made the key is the one that was expected
            create = step.expected
        return State(value, mod, create, state.version + 1, at)
    return State(None, mod, 0, 0, at) if state.version else None


def _read(state: State, step: Step) -> State | None:
    if step.revision < state.at or (step.value, step.version) != (state.value, state.version):
        return None
    if not state.version:
        return state._replace(at=step.revision)
    if not (_agrees(state.mod, step.mod) and _agrees(state.create, step.create)):
        return None
    return State(state.value, step.mod, step.create, state.version, step.revision)


def _refuse(state: State, step: Step) -> State | None:
    if step.revision < state.at or step.mod == step.expected or (step.mod > 0) != (state.version > 0):
        return None
    if not state.version:
        return state._replace(at=step.revision)
    if not _agrees(state.mod, step.mod):
        return None
    return state._replace(mod=step.mod, create=step.mod if state.version == 1 else state.create, at=step.revision)


def _holds(state: State, expected: int | None) -> bool:
    if expected is None or not state.version:
        return not expected
    return expected > 0 and _agrees(state.mod, expected)


def _agrees(held: int, told: int) -> bool:
    return told == held if held >= 0 else told > ~held
