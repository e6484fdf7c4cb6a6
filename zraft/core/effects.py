"""What a step of the core asks its shell to do. Frozen, compared whole by the tests; an unknown one is an error."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from zraft.protocol.peer import AppendAnswer

M = TypeVar("M")


class Ignored(msgspec.Struct, frozen=True):
    """Nothing is done, and why: a stale message is no error."""

    reason: str


class Notice(msgspec.Struct, frozen=True):
    """Tell people why the node is not ready; empty when it is."""

    text: str


class Answer(msgspec.Struct, Generic[M], frozen=True):
    """Send ``message`` to whoever asked, once the log has been committed."""

    message: M


def merged(last: object, answer: object) -> AppendAnswer | None:
    """One answer for two that say the same of a longer log: a stream of Appends is acknowledged once a turn.

    Only for answers to the same leader, of which ``last`` was given just before ``answer``.
    """
    if not (isinstance(last, AppendAnswer) and isinstance(answer, AppendAnswer)):
        return None
    if not (last.success and answer.success and last.term == answer.term):
        return None
    return replace(answer, match=max(last.match, answer.match), commit=max(last.commit, answer.commit))


class Send(msgspec.Struct, Generic[M], frozen=True):
    """Send ``message`` to member ``to``."""

    to: int
    message: M


class ToStorage(msgspec.Struct, Generic[M], frozen=True):
    """Send ``message`` to the storage of this node."""

    message: M


class ToReplication(msgspec.Struct, Generic[M], frozen=True):
    """Send ``message`` to the replication of this node."""

    message: M


class ToGateway(msgspec.Struct, Generic[M], frozen=True):
    """Send ``message`` to gateway number ``gateway`` of this node."""

    gateway: int
    message: M
