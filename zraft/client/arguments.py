"""From what a program passes to what the wire carries, with the wire's limits checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from zraft.config import split_endpoint
from zraft.core.limits import REVISION_MAX, fault_of
from zraft.errors import ConfigurationError, InvalidArgument
from zraft.protocol import codec
from zraft.protocol.requests import (
    REQUEST_BYTES_MAX,
    ChangeMember,
    Compact,
    Delete,
    Get,
    Put,
    Range,
    Request,
    TransferLeadership,
)

Consistency = Literal["linearizable", "serializable"]
CONSISTENCIES: tuple[str, ...] = get_args(Consistency)
BytesOrText = bytes | bytearray | memoryview | str
"""What is taken as a key or a value: bytes in any form, or text, which is UTF-8 then."""
MEMBER_ID_MAX = (1 << 64) - 1
TIMEOUT_S_MAX = 86_400
"""A day: the longest time-out. Sockets are polled for milliseconds in an int of 32 bits, which ends after 24 days."""


def endpoints_of(endpoints: str | Iterable[str]) -> tuple[str, ...]:
    """``"host:port,host:port"``, or several ``"host:port"``, taken apart; each stands once, in the order given.

    Raises:
        InvalidArgument: one is not of that form, or there is none.
    """
    given = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    if isinstance(given, bytes | bytearray | memoryview) or not isinstance(given, Iterable):
        raise InvalidArgument(f"endpoints are str, host:port, or several of them, not {type(given).__name__}")
    found: dict[str, None] = {}
    for one in given:
        if not isinstance(one, str):
            raise InvalidArgument(f"an endpoint is a str, host:port, not {_shown(one)}")
        found[one.strip()] = None
    for endpoint in found:
        try:
            split_endpoint(endpoint, "an endpoint")
        except ConfigurationError as error:
            raise InvalidArgument(str(error)) from None
    if not found:
        raise InvalidArgument("there is no endpoint: name at least one host:port")
    return tuple(found)


def bytes_of(value: BytesOrText, what: str) -> bytes:
    """The bytes of a value as it is now; text is UTF-8.

    Raises:
        InvalidArgument: it is neither bytes nor str, text that has no UTF-8 form, or a memoryview that was
            released, or has items of several bytes.
    """
    if type(value) is bytes:
        return value
    match value:
        case bytes() | bytearray() | memoryview():  # of a class derived from bytes, too
            try:
                if isinstance(value, memoryview) and value.itemsize > 1:
                    raise InvalidArgument(f"{what} of items of {value.itemsize} bytes depends on the machine")
                return bytes(value)
            except ValueError as error:
                raise InvalidArgument(f"{what} can't be read: {error}") from None
        case str():
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise InvalidArgument(f"{what} has no UTF-8 form: {error}") from None
    raise InvalidArgument(f"{what} must be bytes or str, not {type(value).__name__}")


def text_of(value: str, what: str) -> str:
    """The value, if it is text that has a UTF-8 form.

    Raises:
        InvalidArgument: it is not.
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be a str, not {_shown(value)}")
    bytes_of(value, what)
    return value


def flag_of(value: bool, what: str) -> bool:
    """The value, if it is True or False: of what does harm when it is meant otherwise.

    Raises:
        InvalidArgument: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what} must be True or False, not {_shown(value)}")
    return value


def number_of(value: int, what: str, most: int = REVISION_MAX) -> int:
    """The value, if it is a whole number from 0 to ``most``, which is one less than a power of two.

    Raises:
        InvalidArgument: it is not.
    """
    match value:
        case bool():
            pass
        case int() if 0 <= value <= most:
            return value
    raise InvalidArgument(f"{what} must be an int within 0..2^{most.bit_length()}-1, not {_shown(value)}")


def seconds_of(timeout: float) -> float:
    """The value, if it is a time above zero and within ``TIMEOUT_S_MAX``.

    Raises:
        InvalidArgument: it is not.
    """
    match timeout:
        case bool():
            pass
        case int() | float() if 0 < timeout <= TIMEOUT_S_MAX:
            return float(timeout)
    raise InvalidArgument(
        f"timeout is {_shown(timeout)}, but must be a number of seconds above 0 and up to {TIMEOUT_S_MAX:,} (a day)"
    )


def put_of(key: BytesOrText, value: BytesOrText, expected_revision: int | None, return_previous: bool) -> Put:
    """The arguments of a put as a request."""
    return Put(bytes_of(key, "a key"), bytes_of(value, "a value"), _expected(expected_revision), bool(return_previous))


def get_of(key: BytesOrText, consistency: str, revision: int) -> Get:
    """The arguments of a get as a request."""
    return Get(bytes_of(key, "a key"), is_serializable(consistency), number_of(revision, "a revision"))


def delete_of(key: BytesOrText, expected_revision: int | None, return_previous: bool) -> Delete:
    """The arguments of a delete as a request."""
    return Delete(bytes_of(key, "a key"), _expected(expected_revision), bool(return_previous))


def range_of(
    start: BytesOrText,
    end: BytesOrText | None,
    prefix: BytesOrText,
    limit: int,
    consistency: str,
    revision: int,
    keys_only: bool,
) -> Range:
    """The arguments of a range as a request, without its limit.

    Raises:
        InvalidArgument: a node would refuse it.
    """
    number_of(limit, "a range's limit (0: all)")
    request = Range(
        prefix=bytes_of(prefix, "a prefix"),
        start=bytes_of(start, "a start"),
        end=None if end is None else bytes_of(end, "an end"),
        revision=number_of(revision, "a revision"),
        serializable=is_serializable(consistency),
        keys_only=bool(keys_only),
    )
    if fault := fault_of(request):
        raise InvalidArgument(fault)
    return request


def compact_of(revision: int, resume: bool) -> Compact:
    """The arguments of a compaction as a request."""
    return Compact(number_of(revision, "a revision"), flag_of(resume, "resume"))


def transfer_of(to: str | None) -> TransferLeadership:
    """The arguments of a hand-over as a request. None alone means anybody: other false values are mistakes."""
    return TransferLeadership("" if to is None else text_of(to, "a member's name"))


def change_of(
    action: Literal["add", "promote", "remove"], name: str, address: str = "", member: int = 0, force: bool = False
) -> ChangeMember:
    """The arguments of a change of members as a request."""
    return ChangeMember(
        action,
        text_of(name, "a member's name"),
        number_of(member, "a member id", MEMBER_ID_MAX),
        text_of(address, "a member's address"),
        flag_of(force, "force"),
    )


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
    except (AttributeError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise InvalidArgument(f"the request can't be encoded: {error}") from None
    if not fault and len(body) > REQUEST_BYTES_MAX:
        fault = f"a request has at most {REQUEST_BYTES_MAX} bytes, this one has {len(body)}"
    if fault:
        raise InvalidArgument(fault)
    return body


def _shown(value: object) -> str:
    """A value as an error tells it: Python writes no int of more than 4,300 digits, and nobody reads so many."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"one of {value.bit_length()} bits"
    return repr(value)


def _expected(revision: int | None) -> int | None:
    return None if revision is None else number_of(revision, "an expected revision")
