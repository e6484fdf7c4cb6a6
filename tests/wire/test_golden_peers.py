"""The golden frames of nodes: what is refused, what older and newer versions send, and what states come to."""

from typing import Any

import msgspec
import pytest

from tests.wire.by_schema import RECORDS, default_of
from tests.wire.second_log import is_sound
from tests.wire.second_state import SecondState
from tests.wire.test_golden import each
from tools import golden
from zraft.actors.identity import Identity
from zraft.errors import ProtocolError
from zraft.protocol.entries import ClusterRecord, Configuration, Member, Origin

FRAMES = [line for line in golden.load("peer.jsonl") if line.get("encode", True)]
REFUSED = golden.load("refused_peer.jsonl")
STATES = golden.load("states.jsonl")
CLUSTER = next(bytes.fromhex(line["hex"]) for line in golden.load("entries.jsonl") if line["frame"] == "cluster_id")
RECEIVER = 0x1D2C3B4A59687786
"""To whom the golden headers are."""
HEARTBEAT = next(bytes.fromhex(line["hex"]) for line in FRAMES if line["name"] == "heartbeat")
"""What they are the headers of, if they are sealed."""

pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


@each(REFUSED)
def test_what_is_refused_is_dropped(line: golden.Line) -> None:
    data = bytes.fromhex(line["hex"])
    identity = Identity(RECEIVER, CLUSTER, Configuration(0, (Member(RECEIVER, "node-2"),)), 1)
    with pytest.raises(ProtocolError):
        identity.check(data, HEARTBEAT) if line["frame"] == "peer_header" else decoded(line["frame"], data)


def test_the_golden_headers_are_taken_by_the_member_that_they_are_to() -> None:
    identity = Identity(RECEIVER, CLUSTER, Configuration(0, ()), 1)
    for line in golden.load("peer.jsonl"):
        if line["frame"] == "peer_header" and line["value"]["PeerHeader"]["target"] == str(RECEIVER):
            identity.check(bytes.fromhex(line["hex"]), HEARTBEAT)


@each(FRAMES)
def test_an_older_version_may_leave_out_what_has_a_default(line: golden.Line) -> None:
    """The contract between versions: fields are only ever appended, with a default that means what was before."""
    [(name, value)] = line["value"].items()
    fields = [field for field in RECORDS[name]["fields"] if not field["required"]]
    whole = unpack(bytes.fromhex(line["hex"]))
    for count in range(1, len(fields) + 1):
        missing = {field["name"]: default_of(field) for field in fields[-count:]}
        found = decoded(line["frame"], pack(whole[:-count]))
        assert golden.named(found) == {name: {**value, **missing}}


@each(FRAMES)
def test_a_later_version_may_append_fields(line: golden.Line) -> None:
    for more in ([None], [0, "", [b""], {"any": 1.5}]):
        found = decoded(line["frame"], pack([*unpack(bytes.fromhex(line["hex"])), *more]))
        assert golden.named(found) == line["value"]


@each(FRAMES)
def test_a_later_version_may_append_fields_to_all_parts_but_one(line: golden.Line) -> None:
    """An ``Origin`` stands in an entry's bytes, in which there is no room for more."""
    longer = with_longer_parts(line["value"], more=[None])
    assert golden.named(decoded(line["frame"], pack(longer))) == line["value"]


def decoded(frame: str, data: bytes) -> Any:
    decode = golden.KINDS[frame].decode
    assert decode is not None
    return decode(data, 0)


def with_longer_parts(plain: Any, more: list[Any]) -> Any:
    """A golden value as an array, in which each record but an ``Origin`` has more fields."""
    value = golden.value_of(plain)
    if isinstance(value, Origin):
        return list(value)
    [(name, fields)] = plain.items()
    tag = [] if RECORDS[name]["tag"] is None else [RECORDS[name]["tag"]]
    return [*tag, *(_longer(fields[one], getattr(value, one), more) for one in fields), *more]


def _longer(plain: Any, value: Any, more: list[Any]) -> Any:
    if isinstance(plain, dict):
        return with_longer_parts(plain, more)
    if isinstance(plain, list):
        return [_longer(one, item, more) for one, item in zip(plain, value, strict=True)]
    return value


def test_the_golden_hellos_name_the_cluster_of_their_members() -> None:
    """A strict reader works it out, and must find what stands there."""
    hellos = [golden.value_of(line["value"]) for line in FRAMES if "Hello" in line["value"]]
    ids = {
        (ClusterRecord(one.members, one.election_timeout_min_ms, one.initial_state).cluster_id(), one.record)
        for one in hellos
        if one.members
    }
    assert len(ids) == 2
    assert all(worked_out == told for worked_out, told in ids)


# --- what entries come to


@each(STATES)
def test_a_stranger_who_read_the_page_comes_to_the_same_state(line: golden.Line) -> None:
    state = SecondState()
    for index, one in enumerate(line["entries"], 1):
        data = bytes.fromhex(one["hex"])
        assert is_sound(index, data)
        state.apply(index, data)
    records = [
        {"at": f"{revision:016x}{sub:08x}", "hex": data.hex()} for (revision, sub), data in state.records.items()
    ]
    assert records == line["records"]
    assert sorted(key.hex() for key in state.keys) == [one["key"] for one in line["keys"]]
    assert (state.revision, state.compacted, state.swept) == (line["revision"], line["compacted"], line["swept"])
    assert (str(state.sum), state.version) == (line["sum"], line["cluster_version"])
    assert str(state.checkpoint()) == line["checkpoint"]
