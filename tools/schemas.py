"""The wire protocol for people who write a client in another language: made from the code, so that it can't be wrong.

    python tools/schemas.py --write          proto_schemas/*.json, and the tables of the pages there
    python tools/schemas.py --check          tells what is not as it would be written, and fails if anything is
    python tools/schemas.py --write-golden   the golden frames anew: only for a change of the wire that is meant

Names, order, types, defaults and tags are those of ``zraft.protocol``; what a field means stands in
``proto_schemas/meanings.toml``, which must name every field and nothing else.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import struct
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from tools import golden
from tools.answers import ANSWERS
from tools.limits import LIMITS, PEER_LIMITS
from zraft.client.core import has_effect, is_local
from zraft.errors import NotExecuted, ProtocolError, Rejected, Unknown, ZraftError
from zraft.protocol import entries, peer, requests, responses

SCHEMAS = Path(__file__).resolve().parents[1] / "proto_schemas"
PAGES = ("README.md", "peers.md")
BLOCK = re.compile(r"<!-- generated: (?P<name>[\w ,-]+) -->\n.*?<!-- end -->", re.DOTALL)

TO_GATEWAY, TO_CLIENT = "client to gateway", "gateway to client"
CONTROL, DATA, GATEWAYS = "control plane", "data plane", "gateways' plane"
PARTS = "part of others"

CLIENT_MESSAGES: list[tuple[str, str, Any]] = [
    ("header", TO_GATEWAY, requests.RequestHeader),
    ("header", TO_CLIENT, responses.ResponseHeader),
    *(("request", TO_GATEWAY, message) for message in get_args(requests.Request)),
    *(("response", TO_CLIENT, message) for message in get_args(responses.Response)),
    *(
        ("part", PARTS, message)
        for message in (responses.ErrorInfo, responses.KeyValue, responses.PeerInfo, responses.MemberInfo)
    ),
]
GET = requests.Get(b"key")
SERIALIZABLE_GET = requests.Get(b"key", serializable=True)
REQUESTS: dict[str, list[requests.Request]] = {
    "Put": [requests.Put(b"key", b"value")],
    "Delete": [requests.Delete(b"key")],
    "Batch": [requests.Batch((one,)) for one in (requests.Put(b"key", b"value"), GET, SERIALIZABLE_GET)],
    "Get": [GET, SERIALIZABLE_GET],
    "Range": [requests.Range(), requests.Range(serializable=True)],
    "ClusterStatus": [requests.ClusterStatus()],
    "Compact": [requests.Compact(1)],
    "ReadBackup": [requests.ReadBackup(b"name")],
    "TransferLeadership": [requests.TransferLeadership()],
    "ChangeMember": [requests.ChangeMember("add", "name")],
    "ListMembers": [requests.ListMembers()],
}
"""Of each request, one of every kind that a client treats in another way."""
DECIDING = ("serializable", "operations")
"""The fields by which those of one request differ."""
PEER_MESSAGES: list[tuple[str, str, Any]] = [
    ("header", "node to node", peer.PeerHeader),
    *(("message", CONTROL, message) for message in get_args(peer.ControlMessage)),
    *(("message", DATA, message) for message in get_args(peer.DataMessage)),
    *(("message", GATEWAYS, message) for message in get_args(peer.GatewayMessage)),
    *(
        ("part", PARTS, message)
        for message in (
            entries.EntryId,
            entries.Member,
            entries.Origin,
            peer.Checkpoint,
            peer.SnapshotId,
        )
    ),
]
ENTRY_MESSAGES: list[tuple[str, str, Any]] = [
    ("record", "stored by each member, never sent whole", entries.ClusterRecord),
    ("part", PARTS, entries.Member),
]
ENTRY_LAYOUT = {
    "crc32c": "I",
    "term": "Q",
    "kind": "B",
    "origin.member": "Q",
    "origin.gateway": "H",
    "origin.nonce": "Q",
    "origin.number": "Q",
}
"""The head of an entry by the letters of ``struct``: big-endian, without gaps."""

CONCLUSIONS: dict[type[ZraftError], str] = {
    NotExecuted: "not executed",
    Unknown: "unknown",
    Rejected: "refused for good",
    ProtocolError: "not understood",
}


class Contradiction(Exception):
    """The code, the meanings and the pages do not name the same things."""


class Meanings:
    """The words of ``meanings.toml``, each of which must be used, as must be found."""

    def __init__(self, path: Path) -> None:
        self._words: dict[str, dict[str, str]] = tomllib.loads(path.read_text(encoding="utf-8"))
        self._used: set[str] = set()

    def of(self, thing: str, names: list[str]) -> list[str]:
        """The meanings of the fields ``names`` of ``thing``, in their order."""
        words = self._words.get(thing)
        if words is None or words.keys() != set(names):
            known = sorted(words or ())
            raise Contradiction(
                f"proto_schemas/meanings.toml: [{thing}] must explain {sorted(names)}, and explains {known}"
            )
        self._used.add(thing)
        return [words[name] for name in names]

    def require_all_used(self) -> None:
        """There is nothing that is no more."""
        if unused := self._words.keys() - self._used:
            raise Contradiction(f"proto_schemas/meanings.toml explains what is not there: {sorted(unused)}")


def type_of(info: msgspec.inspect.Type) -> list[Any]:
    """A type as a list of alternatives: names, or ``{"array_of": alternatives}``."""
    match info:
        case msgspec.inspect.UnionType():
            return [alternative for one in info.types for alternative in type_of(one)]
        case msgspec.inspect.VarTupleType():
            return [{"array_of": type_of(info.item_type)}]
        case msgspec.inspect.StructType() | msgspec.inspect.NamedTupleType():
            return [info.cls.__name__]
    names: dict[type, str] = {
        msgspec.inspect.IntType: "int",
        msgspec.inspect.BytesType: "bytes",
        msgspec.inspect.StrType: "str",
        msgspec.inspect.LiteralType: "str",  # which ones, the meaning tells
        msgspec.inspect.BoolType: "bool",
        msgspec.inspect.NoneType: "nil",
    }
    return [names[type(info)]]


def decided(examples: list[requests.Request], rule: Callable[[requests.Request], bool]) -> bool | str:
    """What the rule says of all of them; or the field that decides it."""
    answers = {rule(request) for request in examples}
    if len(answers) == 1:
        return answers.pop()
    [field] = [name for name in DECIDING if hasattr(examples[0], name)]
    return field


def treatment(message: Any) -> dict[str, Any]:
    """How a client treats a request: which record answers it, whether it has an effect, and whether any node knows."""
    examples, answer = REQUESTS.get(message.__name__), ANSWERS.get(message)
    if examples is None or answer is None:
        table = "tools/answers.py: ANSWERS" if examples else "tools/schemas.py: REQUESTS"
        raise Contradiction(f"{table} must have {message.__name__}, too")
    return {
        "answer": answer.__name__,
        "has_effect": decided(examples, has_effect),
        "any_node": decided(examples, is_local),
    }


def describe(kind: str, direction: str, message: Any, meanings: Meanings) -> dict[str, Any]:
    """The schema of one message."""
    info = msgspec.inspect.type_info(message)
    if not isinstance(info, msgspec.inspect.StructType | msgspec.inspect.NamedTupleType):
        raise TypeError(f"{message} is no record")
    tag = info.tag if isinstance(info, msgspec.inspect.StructType) else None
    strict = isinstance(info, msgspec.inspect.NamedTupleType) or info.forbid_unknown_fields
    words = meanings.of(message.__name__, [field.name for field in info.fields])
    fields = []
    for place, (field, word) in enumerate(zip(info.fields, words, strict=True), start=tag is not None):
        described = {"position": place, "name": field.name, "type": type_of(field.type), "required": field.required}
        if not field.required:
            default = msgspec.to_builtins(field.default)
            described["default"] = "" if default == b"" else default
        fields.append({**described, "doc": word})
    doc = re.sub(r"\s+", " ", inspect.cleandoc(message.__doc__)).replace("``", "`")
    return {
        "name": message.__name__,
        "kind": kind,
        "direction": direction,
        "tag": tag,
        "more_fields": "refused" if strict else "ignored",
        **(treatment(message) if kind == "request" else {}),
        "doc": doc,
        "fields": fields,
    }


def errors(meanings: Meanings) -> list[dict[str, str]]:
    """Every code that a node may send, each group before its members."""
    found = [
        {"code": kind.code, "conclusion": conclusion}
        for group, conclusion in CONCLUSIONS.items()
        for kind in (group, *group.__subclasses__())
    ]
    words = meanings.of("errors", [one["code"] for one in found])
    return [{**one, "doc": word} for one, word in zip(found, words, strict=True)]


def entry_layout(meanings: Meanings) -> list[dict[str, Any]]:
    """The fields of an entry, in bytes."""
    if struct.calcsize(">" + "".join(ENTRY_LAYOUT.values())) != entries.HEAD_BYTES:
        raise Contradiction("ENTRY_LAYOUT is not that of zraft/protocol/entries.py")
    fields, offset = [], 0
    for (name, letter), word in zip(ENTRY_LAYOUT.items(), meanings.of("entry_layout", list(ENTRY_LAYOUT)), strict=True):
        size = struct.calcsize(">" + letter)
        fields.append({"name": name, "offset": offset, "bytes": size, "type": f"u{8 * size}", "doc": word})
        offset += size
    return fields


def limits(values: dict[str, int], thing: str, meanings: Meanings) -> list[dict[str, Any]]:
    """Bounds, with what they are of."""
    words = meanings.of(thing, list(values))
    return [
        {"name": name, "value": value, "doc": word} for (name, value), word in zip(values.items(), words, strict=True)
    ]


def limits_table(content: dict[str, Any]) -> str:
    """The bounds of a file."""
    rows = [[f"`{one['name']}`", f"{one['value']:,}", one["doc"]] for one in content["limits"]]
    return table(["limit", "value", "of"], rows)


def schemas() -> dict[str, dict[str, Any]]:
    """The contents of the JSON files, by name."""
    meanings = Meanings(SCHEMAS / "meanings.toml")
    kinds = zip(entries.EntryKind, meanings.of("EntryKind", [kind.name for kind in entries.EntryKind]), strict=True)
    found: dict[str, dict[str, Any]] = {
        "client.json": {
            "protocol": "clients and gateways, see README.md",
            "version": requests.PROTOCOL_VERSION,
            "limits": limits(LIMITS, "limits", meanings),
            "errors": errors(meanings),
            "messages": [describe(*message, meanings) for message in CLIENT_MESSAGES],
        },
        "peer.json": {
            "protocol": "nodes among themselves, see peers.md",
            "version": peer.PEER_VERSION,
            "limits": limits(PEER_LIMITS, "peer_limits", meanings),
            "messages": [describe(*message, meanings) for message in PEER_MESSAGES],
        },
        "entries.json": {
            "protocol": "the log's entries and the index-0 record, see peers.md",
            "byte_order": "big-endian",
            "layout": [*entry_layout(meanings)],
            "kinds": [{"name": kind.name, "value": kind.value, "doc": word} for kind, word in kinds],
            "messages": [describe(*message, meanings) for message in ENTRY_MESSAGES],
        },
    }
    meanings.require_all_used()
    return found


# --- the tables of the pages


def type_words(alternatives: list[Any]) -> str:
    """A type as people read it."""
    words = [
        f"array of {type_words(one['array_of'])}" if isinstance(one, dict) else f"`{one}`" if one[0].isupper() else one
        for one in alternatives
    ]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def default_words(field: dict[str, Any]) -> str:
    """A default as people read it; nothing for a field that is required."""
    if field["required"]:
        return ""
    return "`nil`" if field["default"] is None else f"`{golden.compact(field['default'])}`"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def message_block(message: dict[str, Any]) -> str:
    """The array as it stands in the bytes, and what its fields mean."""
    tag = [] if message["tag"] is None else [str(message["tag"])]
    shape = f"`[{', '.join([*tag, *(field['name'] for field in message['fields'])])}]`"
    if not message["fields"]:
        return shape
    rows = [
        [
            f"`{field['name']}`",
            type_words(field["type"]),
            default_words(field),
            field["doc"],
        ]
        for field in message["fields"]
    ]
    return f"{shape}\n\n{table(['field', 'type', 'default', 'meaning'], rows)}"


def blocks(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """All that a page may ask for, by name."""
    client_file, entries_file = found["client.json"], found["entries.json"]
    made = {message["name"]: message_block(message) for content in found.values() for message in content["messages"]}
    made["limits"] = limits_table(client_file)
    made["peer limits"] = limits_table(found["peer.json"])
    made["errors"] = table(
        ["code", "conclusion", "when"],
        [[f"`{one['code']}`", one["conclusion"], one["doc"]] for one in client_file["errors"]],
    )
    made["entry layout"] = table(
        ["offset", "field", "type", "meaning"],
        [[str(one["offset"]), f"`{one['name']}`", one["type"], one["doc"]] for one in entries_file["layout"]],
    )
    made["entry kinds"] = table(
        ["kind", "name", "payload"],
        [[str(one["value"]), one["name"], one["doc"]] for one in entries_file["kinds"]],
    )
    made["golden entries"] = table(
        ["what", "of", "bytes"],
        [[f"`{line['frame']}`", line["meaning"], f"`{line['hex']}`"] for line in golden.load("entries.jsonl")],
    )
    for exchange in golden.load("exchanges.jsonl"):
        made[f"exchange {exchange['name']}"] = golden.listing(exchange)
    return made


def page(text: str, made: dict[str, str]) -> str:
    """A page with all of its generated blocks anew."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in made:
            raise Contradiction(f"a page asks for {name!r}, which is none of {sorted(made)}")
        return f"<!-- generated: {name} -->\n\n{made[name]}\n\n<!-- end -->"

    return BLOCK.sub(block, text)


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is generated, wholly or in parts, as it ought to be."""
    found = schemas()
    for name, content in found.items():
        yield SCHEMAS / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    made = blocks(found)
    for name in PAGES:
        yield SCHEMAS / name, page((SCHEMAS / name).read_text(encoding="utf-8"), made)


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    action.add_argument("--write-golden", action="store_true")
    options = parser.parse_args()
    if options.write_golden:
        golden.rewrite()
    try:
        stale = [(path, text) for path, text in files() if not path.exists() or path.read_text("utf-8") != text]
    except Contradiction as error:
        sys.exit(str(error))
    for path, text in stale:
        print(f"{path.relative_to(SCHEMAS.parent)} {'is stale: make schemas' if options.check else 'is written'}")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    sys.exit(bool(stale and options.check))


if __name__ == "__main__":
    main()
