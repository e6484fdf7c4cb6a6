"""The golden states: entries one behind the other, and what must be there once they are applied.

People write name, meaning and entries, each as kind and payload; the bytes, and all that follows from them, is made by
applying them to a state of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from zraft.core.keyspace import Keyspace
from zraft.core.records import APPLIED, read_applied
from zraft.protocol.entries import NO_ORIGIN, EntryKind, Origin, decode_entry, encode_entry
from zraft.store.state import LmdbState

TERM = 1
MAP_BYTES = 1 << 30
ORIGIN = Origin(0x1D2C3B4A59687786, 0, 0x7766554433221100, 1)


def state_anew(line: dict[str, Any]) -> dict[str, Any]:
    """A line with its bytes, and with the state that is left by them."""
    entries = [_entry(index, one) for index, one in enumerate(line["entries"], 1)]
    with tempfile.TemporaryDirectory() as home:
        state = LmdbState(Path(home), MAP_BYTES)
        keyspace = Keyspace(state)
        for index, one in enumerate(entries, 1):
            for _ in keyspace.apply(decode_entry(index, bytes.fromhex(one["hex"]))):
                pass
            keyspace.commit()
        applied = read_applied(state.meta(APPLIED))
        made = {
            "records": [{"at": at.hex(), "hex": data.hex()} for at, data in state.records_from(b"")],
            "keys": [{"key": key.hex(), "hex": data.hex()} for key, data in state.keys_from(b"")],
            "revision": applied.revision,
            "compacted": applied.compacted,
            "swept": applied.swept,
            "sum": str(applied.digest),
            "cluster_version": keyspace.version,
            "checkpoint": str(keyspace.checkpoint()),
        }
        state.abort()
        state.close()
    return {"name": line["name"], "meaning": line["meaning"], "entries": entries, **made}


def _entry(index: int, one: dict[str, Any]) -> dict[str, Any]:
    kind = EntryKind(one["kind"])
    payload = bytes.fromhex(one["payload"])
    is_proposed = kind in (EntryKind.COMMANDS, EntryKind.CONFIGURATION)
    origin = ORIGIN._replace(number=index) if is_proposed else NO_ORIGIN
    return {**one, "hex": encode_entry(index, TERM, kind, origin, payload).hex()}
