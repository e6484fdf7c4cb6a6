"""Whatever bytes a file, or a place in one, holds: what is meant to stand there, or the error that says that it is not.

The messages of all sockets have the same in ``protocol/test_codec``.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from zraft.actors.roster import Roster
from zraft.core import records
from zraft.errors import CorruptSnapshot, CorruptState
from zraft.protocol.entries import Configuration, EntryId, EntryKind, Member, decode_entry, encode_entry, entry_is_sound
from zraft.store.directory import DataDirectory
from zraft.store.dirty import BootIdentity, Mark, compare
from zraft.store.fault import pending_divergence, record_divergence
from zraft.store.sealed import seal, unseal
from zraft.store.snapshots import make_snapshot, read_manifest
from zraft.store.state import LmdbState
from zraft.verify.history import HistoryError, Operation, line_of, read_history

MAP_SIZE = 1 << 24
BOOT = BootIdentity("boot", 7)


class Decoder(NamedTuple):
    """``decode`` gives something for ``valid``, and something or one of ``errors`` for all else."""

    decode: Callable[[bytes], object]
    valid: bytes
    errors: tuple[type[Exception], ...] = ()


def of_file(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return decode


def entry_of(data: bytes) -> object:
    return decode_entry(7, data) if entry_is_sound(7, data) else None


def in_memory() -> dict[str, Decoder]:
    members = Configuration(7, (Member(1, "node-1"),))
    applied = records.AppliedState(EntryId(7, 3), 9, 2, 1, 5)
    entry, record, _ = records.pack_write(7, 1, 2, 3, 0, 0, b"k", b"v")
    return {
        "record": Decoder(lambda data: records.unpack_record(7, 0, data), record, (CorruptState,)),
        "links of a record": Decoder(lambda data: records.links_of(7, 0, data), record, (CorruptState,)),
        "index entry": Decoder(lambda data: records.unpack_meta(b"k", data), entry, (CorruptState,)),
        "applied state": Decoder(records.read_applied, records.pack_applied(applied), (CorruptState,)),
        "configuration": Decoder(records.read_configuration, records.pack_configuration(members), (CorruptState,)),
        "cluster version": Decoder(records.read_cluster_version, records.pack_cluster_version(2), (CorruptState,)),
        "entry": Decoder(entry_of, encode_entry(7, 3, EntryKind.COMMANDS, payload=b"\x90")),
        "sealed value": Decoder(lambda data: unseal(b"name", data), seal(b"name", b"value")),
        "dirty mark": Decoder(lambda data: compare(data, BOOT), msgspec.json.encode(BOOT)),
    }


def on_disk(home: Path) -> dict[str, Decoder]:
    state = LmdbState(home / "state.0", MAP_SIZE)
    state.set_meta(records.APPLIED, records.pack_applied(records.AppliedState(EntryId(7, 3), 0, 0, 0, 0)))
    state.commit()
    state.close()
    snapshot, _ = make_snapshot(home / "state.0", home, MAP_SIZE, None, 0.0)
    directory = DataDirectory(home / "data")
    directory.path.mkdir()
    record_divergence(directory, "another state")
    Roster("node-1", 1, "", {"storage": 2}).write(home)
    history = home / "history.jsonl"
    operation = Operation(client=1, operation="get", key="6b", outcome="ok", invocation=1, completion=2)
    return {
        "manifest": Decoder(
            of_file(snapshot, lambda: read_manifest(snapshot)), snapshot.read_bytes(), (CorruptSnapshot,)
        ),
        "record of a fault": Decoder(
            of_file(directory.divergence_record, lambda: pending_divergence(directory)),
            directory.divergence_record.read_bytes(),
        ),
        "roster": Decoder(
            of_file(home / "actors.json", lambda: Roster.read(home)), (home / "actors.json").read_bytes()
        ),
        "history": Decoder(of_file(history, lambda: list(read_history(history))), line_of(operation), (HistoryError,)),
    }


IN_MEMORY = in_memory()
ON_DISK = ("manifest", "record of a fault", "roster", "history")


@pytest.fixture(scope="module")
def decoders(module_path: Path) -> dict[str, Decoder]:
    return IN_MEMORY | on_disk(module_path)


def test_each_decoder_is_tried(decoders: dict[str, Decoder]) -> None:
    assert decoders.keys() == {*IN_MEMORY, *ON_DISK}


@pytest.mark.parametrize("name", [*IN_MEMORY, *ON_DISK])
def test_any_bytes_are_what_is_meant_or_its_error(decoders: dict[str, Decoder], name: str) -> None:
    decode, valid, errors = decoders[name]
    assert decode(valid) not in (None, Mark.MISMATCH)
    tail = valid[-400:]  # of a snapshot, whose beginning only its checksum knows

    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(st.binary(max_size=60), damaged(tail), texts(valid)))
    def try_all(data: bytes) -> None:
        with contextlib.suppress(*errors):
            decode(data)

    try_all()


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """With some bytes changed, cut out or doubled."""
    body = bytearray(valid)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(body)


def texts(valid: bytes) -> st.SearchStrategy[bytes]:
    """What is JSON, or nearly: of other types, without UTF-8, too deep."""
    plain = [msgspec.json.encode(value) for value in (None, 1, -1, 0.5, "x", [], {}, [1], {"a": 1})]
    return st.sampled_from([*plain, b"[" * 5000, b'{"detail": "\xff"}', valid.replace(b'"', b'"\xff', 1), valid[:-1]])
