"""What a step of the core asks its shell to do. Frozen, compared whole by the tests; an unknown one is an error."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

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
