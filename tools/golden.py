"""The golden frames of ``proto_schemas/golden/``: the bytes of the wire, written down once and held to ever after.

Each file has one JSON object a line; ``proto_schemas/README.md`` explains its fields. People write name, meaning, frame
and value; ``tools/schemas.py --write-golden`` adds the bytes, and tests hold the code to them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from tools.golden_states import state_anew
from zraft.errors import ProtocolError
from zraft.protocol import codec, entries, peer, requests, responses

GOLDEN = Path(__file__).resolve().parents[1] / "proto_schemas" / "golden"
FRAME_FILES = ("client.jsonl", "peer.jsonl", "entries.jsonl")
EXACT_MAX = (1 << 53) - 1
"""Not every JSON reader keeps a larger integer: it stands as a string."""

Line = dict[str, Any]


def _records(module: ModuleType) -> dict[str, Any]:
    """The structs that a module of the protocol defines, by name."""
    found = inspect.getmembers(module, inspect.isclass)
    return {name: one for name, one in found if issubclass(one, msgspec.Struct) and one.__module__ == module.__name__}


RECORDS: dict[str, Any] = {
    **_records(entries),
    **_records(requests),
    **_records(responses),
    **_records(peer),
    "Origin": entries.Origin,
}


class Kind(NamedTuple):
    """How a frame of one kind is made and read; ``index`` is an entry's, which does not stand in its bytes."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], Any] | None


def _encode_entry(entry: entries.Entry) -> bytes:
    kind = entries.EntryKind(entry.kind)
    return entries.encode_entry(entry.index, entry.term, kind, entry.origin, entry.payload)


def _decode_entry(data: bytes, index: int) -> entries.Entry:
    if not entries.entry_is_sound(index, data):
        raise ProtocolError(f"not the entry of index {index}")
    return entries.decode_entry(index, data)


def _packed(decode: Callable[[bytes], Any]) -> Kind:
    return Kind(codec.encode, lambda data, index: decode(data))


KINDS = {
    "request_header": _packed(codec.request_header.decode),
    "request": _packed(codec.decode_request),
    "response_header": _packed(codec.response_header.decode),
    "response": _packed(codec.response.decode),
    "peer_header": _packed(codec.peer_header.decode),
    "control": _packed(codec.control.decode),
    "data": _packed(codec.data.decode),
    "gateways": _packed(codec.gateways.decode),
    "entry": Kind(_encode_entry, _decode_entry),
    "cluster_record": _packed(codec.cluster_record.decode),
    "cluster_id": Kind(entries.ClusterRecord.cluster_id, None),
}


def named(value: Any) -> Any:
    """A value of the protocol as JSON has it: a record by the names of its fields, bytes in hex."""
    match value:
        case bytes():
            return value.hex()
        case bool() | None | str():
            return value
        case int():
            return value if value <= EXACT_MAX else str(value)
        case entries.Origin():
            return {"Origin": {name: named(one) for name, one in value._asdict().items()}}
        case tuple():
            return [named(one) for one in value]
        case msgspec.Struct():
            fields = {name: named(getattr(value, name)) for name in value.__struct_fields__}
            return {type(value).__name__: fields}
    raise TypeError(f"{type(value).__name__} is no value of the protocol")


def value_of(plain: Any, info: msgspec.inspect.Type | None = None) -> Any:
    """What ``named`` made JSON of; ``info`` is the type that is expected, where it is not told by the name."""
    alternatives = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    match plain:
        case dict():
            [(name, fields)] = plain.items()
            described = msgspec.inspect.type_info(RECORDS[name])
            if not isinstance(described, msgspec.inspect.StructType | msgspec.inspect.NamedTupleType):
                raise TypeError(f"{name} is no record")
            types = {field.name: field.type for field in described.fields}
            return RECORDS[name](**{key: value_of(one, types[key]) for key, one in fields.items()})
        case list():
            [array] = [one for one in alternatives if isinstance(one, msgspec.inspect.VarTupleType)]
            return tuple(value_of(one, array.item_type) for one in plain)
        case str() if any(isinstance(one, msgspec.inspect.BytesType) for one in alternatives):
            return bytes.fromhex(plain)
        case str() if any(isinstance(one, msgspec.inspect.IntType) for one in alternatives):
            return int(plain)
    return plain


def compact(plain: Any) -> str:
    """JSON on one line."""
    return json.dumps(plain, ensure_ascii=False)


def load(name: str) -> list[Line]:
    """The lines of a golden file."""
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def anew(line: Line) -> Line:
    """A line with its bytes made of its value; one that is only to be decoded stays as it is."""
    if "value" not in line or not line.get("encode", True):
        return line
    value = value_of(line["value"])
    made = {"hex": KINDS[line["frame"]].encode(value).hex(), "value": named(value)}
    return {"name": line["name"], "meaning": line["meaning"], "frame": line["frame"], "hex": "", **line, **made}


def exchange_anew(line: Line, frames: dict[str, Line]) -> Line:
    """A message with the bytes of its frames, some of which are golden frames themselves."""
    made = [part["hex"] if "hex" in part else frames[part["golden"]]["hex"] for part in line["parts"]]
    return {**line, "frames": made}


def all_anew() -> dict[str, list[Line]]:
    """The lines of all files, as they would be written."""
    made = {
        name: [anew(line) for line in load(name)]
        for name in (*FRAME_FILES, "refused.jsonl", "refused_messages.jsonl", "refused_peer.jsonl")
    }
    frames = {line["name"]: line for name in FRAME_FILES for line in made[name]}
    made["states.jsonl"] = [state_anew(line) for line in load("states.jsonl")]
    made["exchanges.jsonl"] = [exchange_anew(line, frames) for line in load("exchanges.jsonl")]
    return made


def rewrite() -> None:
    """Write all files anew."""
    for name, lines in all_anew().items():
        text = "".join(f"{compact(line)}\n" for line in lines)
        if text != (GOLDEN / name).read_text(encoding="utf-8"):
            (GOLDEN / name).write_text(text, encoding="utf-8")
            print(f"golden/{name} is written: the wire has changed, or its examples")


def listing(exchange: Line) -> str:
    """A message for people: each frame with its meaning."""
    frames = {line["name"]: line for name in FRAME_FILES for line in load(name)}
    rows = ["| frame | bytes | meaning |", "| --- | --- | --- |"]
    for number, (part, data) in enumerate(zip(exchange["parts"], exchange["frames"], strict=True)):
        meaning = part["meaning"] if "hex" in part else f"`{compact(frames[part['golden']]['value'])}`"
        rows.append(f"| {number} | {f'`{data}`' if data else 'none'} | {meaning} |")
    return "\n".join(rows)
