"""Reading frames as a stranger does: with the schemas, a MessagePack library, and what README.md says of both."""

from typing import Any

import msgspec

from tools import schemas

FILES = schemas.schemas()
RECORDS = {message["name"]: message for content in FILES.values() for message in content["messages"]}


def _arriving(key: str, word: str) -> list[Any]:
    return [name for name, record in RECORDS.items() if record[key] == word]


ARRIVING: dict[str, list[Any]] = {
    "request_header": ["RequestHeader"],
    "request": _arriving("kind", "request"),
    "response_header": ["ResponseHeader"],
    "response": _arriving("kind", "response"),
    "peer_header": ["PeerHeader"],
    "control": _arriving("direction", schemas.CONTROL),
    "data": _arriving("direction", schemas.DATA),
    "gateways": _arriving("direction", schemas.GATEWAYS),
    "cluster_record": ["ClusterRecord"],
}
"""What a frame of each kind may hold."""


def read_frame(kind: str, data: bytes) -> Any:
    """The value of a frame, as golden files have it."""
    return read(msgspec.msgpack.decode(data), ARRIVING[kind])


def read(value: Any, alternatives: list[Any]) -> Any:
    """A MessagePack value of one of these types."""
    match value:
        case None | bool() | str():
            assert {type(None): "nil", bool: "bool", str: "str"}[type(value)] in alternatives
            return value
        case int():
            assert "int" in alternatives
            return value if value < 2**53 else str(value)
        case bytes():
            assert "bytes" in alternatives
            return value.hex()
    for one in alternatives:
        if isinstance(one, dict):
            return [read(item, one["array_of"]) for item in value]
    found = [RECORDS[one] for one in alternatives if one in RECORDS]
    [record] = [record for record in found if record["tag"] in (None, value[0])]
    return {record["name"]: {field["name"]: _read_field(value, field) for field in record["fields"]}}


def default_of(field: dict[str, Any]) -> Any:
    """The default of a field, as golden files have it."""
    default = field["default"]
    return read(default, field["type"]) if isinstance(default, list) else default


def _read_field(array: list[Any], field: dict[str, Any]) -> Any:
    if field["position"] < len(array):
        return read(array[field["position"]], field["type"])
    return default_of(field)
