"""What a later version may add: fields of answers are passed over, fields of requests are refused."""

from typing import get_args, get_type_hints

import msgspec
import pytest

from zraft.errors import InvalidArgument
from zraft.protocol import codec
from zraft.protocol.requests import Batch, Command, Get
from zraft.protocol.responses import ErrorInfo, ErrorResult, GetResult, KeyValue, PutResult, RangeResult, Response

ANSWERS: list[Response] = [
    PutResult(True, None, 7, 3, 3),
    GetResult(False, None, ErrorInfo("Unavailable", "later"), 3),
    RangeResult((KeyValue(b"k", b"v", 1, 2, 2),), False, b"", 3),
    ErrorResult("Unknown", "lost"),
]


def with_one_field_more(message: object) -> bytes:
    fields = msgspec.msgpack.decode(codec.encode(message))
    return msgspec.msgpack.encode([*fields, "of a later version"])


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_a_field_that_a_later_version_adds_to_an_answer_is_passed_over(answer: Response) -> None:
    full = codec.response.decode(codec.encode(answer))
    rest = msgspec.msgpack.decode(codec.encode(answer))
    complete = len(rest) == 1 + len(type(answer).__struct_fields__)
    assert complete, "the encoder leaves no field out, so one more is behind all of them"
    assert codec.response.decode(with_one_field_more(answer)) == full == answer


def test_a_field_that_a_later_version_adds_to_a_request_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="malformed request"):
        codec.decode_request(with_one_field_more(Get(b"k")))


def test_code_of_before_can_read_all_that_stands_in_a_log() -> None:
    known = {command.__name__: command.__struct_fields__ for command in get_args(Command)}
    [operations, _] = get_args(get_type_hints(Batch)["operations"])
    assert (known, {operation.__name__ for operation in get_args(operations)}) == (
        {
            "Put": ("key", "value", "expected_revision", "return_previous", "session", "sequence", "lease"),
            "Delete": ("key", "expected_revision", "return_previous", "session", "sequence"),
            "Batch": ("operations",),
            "Compact": ("revision", "resume"),
        },
        {"Put", "Delete", "Get"},
    ), "older members would apply another state: raise the cluster version for it (core/versions.py), then add it here"
