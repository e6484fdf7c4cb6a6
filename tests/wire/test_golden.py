"""The golden frames: a change of the wire can't go unnoticed.

One that is meant: append to the structs, then ``python tools/schemas.py --write-golden``, and read the diff.
"""

import collections
from collections.abc import Iterator
from typing import Any

import pytest

from tests.wire.by_schema import ARRIVING, FILES, RECORDS, default_of, read_frame
from tools import golden, schemas
from tools.golden import Line
from zraft.core.limits import fault_of
from zraft.errors import InvalidArgument
from zraft.protocol import codec

FRAMES = [line for name in golden.FRAME_FILES for line in golden.load(name)]
EXCHANGES = golden.load("exchanges.jsonl")
REFUSED = golden.load("refused.jsonl")


A_FRAME = (
    "write a line without `hex` into a file of proto_schemas/golden/, with a value that is not the default, "
    "and run `python tools/schemas.py --write-golden`"
)


def each(lines: list[Line]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("line", [pytest.param(line, id=line["name"]) for line in lines])


@each([line for line in FRAMES if golden.KINDS[line["frame"]].decode])
def test_the_bytes_mean_the_value(line: Line) -> None:
    value = golden.value_of(line["value"])
    decode = golden.KINDS[line["frame"]].decode
    assert decode is not None
    assert decode(bytes.fromhex(line["hex"]), getattr(value, "index", 0)) == value


@each([line for line in FRAMES if line.get("encode", True)])
def test_the_value_has_these_bytes(line: Line) -> None:
    assert golden.KINDS[line["frame"]].encode(golden.value_of(line["value"])).hex() == line["hex"]


@each([line for line in FRAMES if line["frame"] in ARRIVING])
def test_a_stranger_reads_the_bytes_with_nothing_but_the_schema(line: Line) -> None:
    assert read_frame(line["frame"], bytes.fromhex(line["hex"])) == line["value"]


def fields_in(plain: Any) -> Iterator[tuple[str, str, Any]]:
    """(record, field, value) of all that a golden value holds."""
    if isinstance(plain, dict):
        [(name, fields)] = plain.items()
        for field, value in fields.items():
            yield name, field, value
            yield from fields_in(value)
    if isinstance(plain, list):
        for item in plain:
            yield from fields_in(item)


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_every_record_is_in_some_frame_with_a_value_of_its_own(name: str) -> None:
    seen = collections.defaultdict(list)
    for line in FRAMES:
        if line.get("encode", True):
            for record, field, value in fields_in(line["value"]):
                if record == name:
                    seen[field].append(value)
    for field in RECORDS[name]["fields"]:
        told = f"{name}.{field['name']}: {A_FRAME}"
        assert seen[field["name"]], told
        assert field["required"] or any(value != default_of(field) for value in seen[field["name"]]), told


def test_every_record_and_every_kind_of_entry_is_in_some_frame() -> None:
    tops = {name for line in FRAMES for name in line["value"]}
    parts = {name for name, record in RECORDS.items() if record["kind"] == "part"}
    assert tops - {"Entry"} == RECORDS.keys() - parts, A_FRAME
    kinds = {line["value"]["Entry"]["kind"] for line in FRAMES if line["frame"] == "entry"}
    assert kinds == {kind["value"] for kind in FILES["entries.json"]["kinds"]}


@each(EXCHANGES)
def test_a_message_is_frames_of_its_direction(line: Line) -> None:
    empty, header, *pairs = map(bytes.fromhex, line["frames"])
    assert empty == b""
    assert len(pairs) % 2 == 0
    if line["direction"] == schemas.TO_GATEWAY:
        codec.request_header.decode(header)
        for body in pairs[1::2]:
            assert fault_of(codec.decode_request(body)) == ""
    else:
        codec.response_header.decode(header)
        for body in pairs[1::2]:
            codec.response.decode(body)


@each(REFUSED)
def test_a_bad_request_is_refused(line: Line) -> None:
    try:
        fault = fault_of(codec.decode_request(bytes.fromhex(line["hex"])))
    except InvalidArgument as error:
        fault = str(error)
    assert (line["error"], bool(fault)) == (InvalidArgument.code, True)


def test_no_name_is_given_twice() -> None:
    for lines in (FRAMES, EXCHANGES, REFUSED):
        assert [name for name, count in collections.Counter(line["name"] for line in lines).items() if count > 1] == []


def test_the_files_are_as_they_would_be_written() -> None:
    for name, lines in golden.all_anew().items():
        text = "".join(f"{golden.compact(line)}\n" for line in lines)
        assert (golden.GOLDEN / name).read_text(encoding="utf-8") == text, "see this module's head"
