"""What a batch is made of, in the client's words: keys and values in any form, and nothing that a batch can't have."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zraft.client.arguments import BytesOrText, delete_of, get_of, is_serializable, put_of
from zraft.errors import InvalidArgument
from zraft.protocol import requests as wire


class Put(msgspec.Struct, frozen=True):
    """Sets a key; ``expected_revision`` as for ``Client.put``."""

    key: BytesOrText
    value: BytesOrText
    expected_revision: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Removes a key; ``expected_revision`` as for ``Client.delete``."""

    key: BytesOrText
    expected_revision: int | None = None


class Get(msgspec.Struct, frozen=True):
    """Reads a key, ``revision`` above 0 as it was then. How consistently, is the batch's to say."""

    key: BytesOrText
    revision: int = 0


def batch_of(operations: Iterable[Put | Delete | Get], consistency: str) -> wire.Batch:
    """The arguments of a batch as a request.

    Raises:
        InvalidArgument: something else is among them, or a node would refuse one of them.
    """
    is_serializable(consistency)  # writes don't ask for it, and a misspelt one is wrong all the same
    if not isinstance(operations, Iterable):
        raise InvalidArgument(f"a batch is several operations, not {type(operations).__name__}")
    made: list[wire.Put | wire.Delete | wire.Get] = []
    try:
        for operation in operations:
            made.append(_request_of(operation, consistency))
    except InvalidArgument as error:
        raise InvalidArgument(f"operation {len(made)}: {error}") from None
    return wire.Batch(tuple(made))


def _request_of(operation: Put | Delete | Get, consistency: str) -> wire.Put | wire.Delete | wire.Get:
    match operation:
        case Put(key, value, expected_revision):
            return put_of(key, value, expected_revision, return_previous=False)
        case Delete(key, expected_revision):
            return delete_of(key, expected_revision, return_previous=False)
        case Get(key, revision):
            return get_of(key, consistency, revision)
    raise InvalidArgument(f"a batch holds zraft.Put, Delete and Get, not {type(operation).__name__}")
