"""The state machine of ``proto_schemas/peers.md``, by somebody who has read nothing else: records, sweeps, digests."""

from __future__ import annotations

import hashlib
from typing import Any

import google_crc32c
import msgspec

PUT, DELETE, BATCH, COMPACT = 1, 2, 3, 8
DEFAULTS: dict[int, list[Any]] = {
    PUT: [None, False, 0, 0, 0],
    DELETE: [None, False, 0, 0],
    COMPACT: [False],
    BATCH: [],
}
LENGTHS = {PUT: 8, DELETE: 6, COMPACT: 3, BATCH: 2}
EMPTY, COMMANDS, CONFIGURATION, CLUSTER_VERSION = range(4)
HEAD_BYTES = 39
KEY_BYTES_MAX, OPERATIONS_MAX, REVISION_MAX = 400, 10_000, 2**63 - 1
SWEEP_GROUP, SWEEP_BYTES = 32, 16 << 20
MIX = 0x9E3779B9
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
Command = list[Any]

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class SecondState:
    """What is there after some entries."""

    def __init__(self) -> None:
        self.records: dict[tuple[int, int], bytes] = {}
        self.keys: dict[bytes, tuple[int, int, int, int]] = {}  # mod, sub, create, version
        self.revision = self.compacted = self.swept = self.sum = 0
        self.version = 1
        self.configuration: tuple[int, list[Any]] = (0, [])

    def apply(self, index: int, data: bytes) -> None:
        """Apply the entry at that index."""
        kind, payload = data[12], data[HEAD_BYTES:]
        if kind == COMMANDS:
            commands = [_whole(one) for one in unpack(payload)]
            for command in commands if None not in commands else []:
                assert command is not None
                self._command(command)
        elif kind == CONFIGURATION:
            self.configuration = (index, [_member(one) for one in unpack(payload)])
        elif kind == CLUSTER_VERSION:
            self.version = max(self.version, unpack(payload))

    def checkpoint(self) -> int:
        """What replicas are compared by."""
        if self.version < 2:
            return self.sum
        index, members = self.configuration
        whole = pack([self.sum, self.version, index, members])
        return int.from_bytes(hashlib.sha256(whole).digest()[:8], "big")

    def _command(self, command: Command) -> None:
        if not _is_valid(command):
            return
        if command[0] == BATCH:
            for operation in command[1]:
                self._command(operation)
        elif command[0] == COMPACT:
            self._compact(command[1], command[2])
        else:
            self._write(command)

    def _write(self, command: Command) -> None:
        tag, key = command[:2]
        expected = command[3] if tag == PUT else command[2]
        mod, sub, create, version = self.keys.get(key, (0, 0, 0, 0))
        exists = version > 0
        if expected not in (None, mod if exists else 0) or (tag == DELETE and not exists):
            return
        self.revision += 1
        create, version = (create or self.revision, version + 1) if tag == PUT else (0, 0)
        numbers = [(create, 8), (version, 8), (mod, 8), (sub, 4), (0, 8), (len(key), 2)]
        data = b"".join(number.to_bytes(size, "big") for number, size in numbers)
        data += key + (command[2] if tag == PUT else b"")
        checksum = google_crc32c.extend(self.revision & U32, data)
        self.records[self.revision, 0] = data + checksum.to_bytes(4, "little")
        self.keys[key] = (self.revision, 0, create, version)
        self.sum = (self.sum + _adds(self.revision, checksum)) & U64

    def _compact(self, to: int, resume: bool) -> None:
        if to > self.revision or (to <= self.compacted and not resume):
            return
        self.compacted = max(self.compacted, to)
        seen = size = 0
        places = sorted(place for place in self.records if place >= (self.swept, 0))
        while seen < (256 if self.version >= 2 else 2_000) and size < SWEEP_BYTES:
            group, places = places[:SWEEP_GROUP], places[SWEEP_GROUP:]
            for place in group:
                if place[0] > self.compacted:
                    self.swept = self.compacted
                    return
                size += len(self.records[place])
                self._visit(place)
                self.swept = place[0]
            if len(group) < SWEEP_GROUP:
                self.swept = self.compacted
                return
            seen += len(group)

    def _visit(self, place: tuple[int, int]) -> None:
        data = self.records[place]
        version, previous, sub = (int.from_bytes(data[a:b], "big") for a, b in ((8, 16), (16, 24), (24, 28)))
        if previous:
            self._remove((previous, sub))
        if version or place[0] == self.compacted:
            return
        key = data[38 : 38 + int.from_bytes(data[36:38], "big")]
        self._remove(place)
        if key in self.keys and self.keys[key][:2] == place:
            del self.keys[key]

    def _remove(self, place: tuple[int, int]) -> None:
        data = self.records.pop(place, None)
        if data is not None:
            self.sum = (self.sum - _adds(place[0], int.from_bytes(data[-4:], "little"))) & U64


def _adds(revision: int, checksum: int) -> int:
    return (checksum + revision) * (checksum ^ MIX)


def _member(fields: list[Any]) -> list[Any]:
    return [*fields, *[True, ""][len(fields) - 2 :]][:4]


def _whole(command: Command) -> Command | None:
    """A command with its defaults; None: it is none."""
    if not command or command[0] not in DEFAULTS or len(command) > LENGTHS[command[0]]:
        return None
    missing = LENGTHS[command[0]] - len(command)
    defaults = DEFAULTS[command[0]]
    if missing > len(defaults):
        return None
    whole = [*command, *defaults[len(defaults) - missing :]]
    if whole[0] == BATCH:
        operations = [[4] if one and one[0] == 4 else _whole(one) for one in whole[1]]
        return None if None in operations else [BATCH, operations]
    return whole


def _is_valid(command: Command) -> bool:
    match command:
        case [1, key, _, expected, _, session, sequence, lease]:
            return _is_key(key) and _is_revision(expected) and not (session or sequence or lease)
        case [2, key, expected, _, session, sequence]:
            return _is_key(key) and _is_revision(expected) and not (session or sequence)
        case [3, operations]:
            return 0 < len(operations) <= OPERATIONS_MAX and all(
                one[0] in (PUT, DELETE) and _is_valid(one) and not (one[4] if one[0] == PUT else one[3])
                for one in operations
            )
        case [8, revision, _]:
            return _is_revision(revision)
    return False


def _is_key(key: bytes) -> bool:
    return 0 < len(key) <= KEY_BYTES_MAX


def _is_revision(revision: int | None) -> bool:
    return revision is None or 0 <= revision <= REVISION_MAX
