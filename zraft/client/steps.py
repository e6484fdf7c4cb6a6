"""What a call hears of, and what it says is to be done: plain data, so that a test compares whole lists of them.

Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from zraft.errors import ZraftError, from_code
from zraft.protocol.responses import Response

R = TypeVar("R", bound=Response, covariant=True)

NO_ANSWER = "no answer in time"
"""The reason of ``NotAnswered`` when the connection held until the time was up."""

# --- events


class Go(msgspec.Struct, frozen=True):
    """The call begins, or its pause is over."""


class Answered(msgspec.Struct, frozen=True):
    """The frames that came back, without the empty delimiter."""

    frames: tuple[bytes, ...]


class NotSent(msgspec.Struct, frozen=True):
    """Not one byte of the request left: certainly not executed."""

    reason: str


class NotAnswered(msgspec.Struct, frozen=True):
    """The request was handed over, and there will be no answer: it may have been executed."""

    reason: str


Event = Go | Answered | NotSent | NotAnswered

# --- instructions


class Send(msgspec.Struct, frozen=True):
    """Send the frames to ``host:port`` if that can begin by ``connect_by``; wait for the answer until ``answer_by``."""

    endpoint: str
    frames: tuple[bytes, ...]
    connect_by: float
    answer_by: float


class Pause(msgspec.Struct, frozen=True):
    """Come back with ``Go`` at that time."""

    until: float


class Return(msgspec.Struct, Generic[R], frozen=True):
    """The call is over: this is its result."""

    response: R


class Fail(msgspec.Struct, frozen=True):
    """The call is over: raise ``exception()``. ``revision``: the key's, if it was not the expected one."""

    kind: type[ZraftError]
    message: str
    revision: int = 0

    def exception(self) -> ZraftError:
        """What to raise."""
        return from_code(self.kind.code, self.message, self.revision)


Instruction = Send | Pause | Return[R] | Fail
