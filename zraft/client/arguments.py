"""From what a program passes to what the wire carries, with the wire's limits checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from zraft.config import split_endpoint
from zraft.core.limits import fault_of
from zraft.errors import ConfigurationError, InvalidArgument
from zraft.protocol import codec
from zraft.protocol.client import REQUEST_BYTES_MAX, Batch, Delete, Get, Put, Request

Consistency = Literal["linearizable", "serializable"]
CONSISTENCIES: tuple[str, ...] = get_args(Consistency)


def endpoints_of(endpoints: str | Iterable[str]) -> tuple[str, ...]:
    """``"host:port,host:port"``, or several ``"host:port"``, taken apart; each stands once, in the order given.

    Raises:
        InvalidArgument: one is not of that form, or there is none.
    """
    given = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    found = dict.fromkeys(endpoint.strip() for endpoint in given)
    for endpoint in found:
        try:
            split_endpoint(endpoint, "an endpoint")
        except ConfigurationError as error:
            raise InvalidArgument(str(error)) from None
    if not found:
        raise InvalidArgument("there is no endpoint: name at least one host:port")
    return tuple(found)


def bytes_of(value: bytes | str, what: str) -> bytes:
    """The bytes of a value; text is UTF-8.

    Raises:
        InvalidArgument: it is neither bytes nor str, or text that has no UTF-8 form.
    """
    match value:
        case bytes():
            return value
        case str():
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise InvalidArgument(f"{what} has no UTF-8 form: {error}") from None
    raise InvalidArgument(f"{what} must be bytes or str, not {type(value).__name__}")


def put_of(key: bytes | str, value: bytes | str, expected_revision: int | None, return_previous: bool) -> Put:
    """The arguments of a put as a request."""
    return Put(bytes_of(key, "a key"), bytes_of(value, "a value"), expected_revision, return_previous)


def get_of(key: bytes | str, consistency: str, revision: int) -> Get:
    """The arguments of a get as a request."""
    return Get(bytes_of(key, "a key"), is_serializable(consistency), revision)


def delete_of(key: bytes | str, expected_revision: int | None, return_previous: bool) -> Delete:
    """The arguments of a delete as a request."""
    return Delete(bytes_of(key, "a key"), expected_revision, return_previous)


def batch_of(operations: Iterable[Put | Delete | Get]) -> Batch:
    """The operations as one request; their keys and values may be text.

    Raises:
        InvalidArgument: something else is among them.
    """
    return Batch(tuple(_operation_of(operation) for operation in operations))


def is_serializable(consistency: str) -> bool:
    """Whether a read may be served from a node's own state.

    Raises:
        InvalidArgument: there is no such consistency.
    """
    if consistency not in CONSISTENCIES:
        raise InvalidArgument(f"consistency is {' or '.join(CONSISTENCIES)}, not {consistency!r}")
    return consistency == "serializable"


def body_of(request: Request) -> bytes:
    """The request as it goes over the wire.

    Raises:
        InvalidArgument: a node would refuse it, or it can't be encoded.
    """
    try:
        fault = fault_of(request)
        body = codec.encode(request)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise InvalidArgument(f"the request can't be encoded: {error}") from None
    if not fault and len(body) > REQUEST_BYTES_MAX:
        fault = f"a request has at most {REQUEST_BYTES_MAX} bytes, this one has {len(body)}"
    if fault:
        raise InvalidArgument(fault)
    return body


def _operation_of(operation: Put | Delete | Get) -> Put | Delete | Get:
    match operation:
        case Put(key, value):
            return replace(operation, key=bytes_of(key, "a key"), value=bytes_of(value, "a value"))
        case Delete(key) | Get(key):
            return replace(operation, key=bytes_of(key, "a key"))
    raise InvalidArgument(f"a batch holds Put, Delete and Get, not {type(operation).__name__}")
