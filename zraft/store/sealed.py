"""Single values of a table behind a checksum of their own: LMDB 0.9 has none, and they decide who a node is."""

from __future__ import annotations

import struct

import google_crc32c

_U32 = struct.Struct(">I")


def seal(name: bytes, value: bytes) -> bytes:
    """The value as it is stored under ``name``: one that stands under another name is as damaged as any."""
    return _U32.pack(google_crc32c.value(name + value)) + value


def unseal(name: bytes, sealed: bytes) -> bytes | None:
    """The value; None: it does not match its checksum."""
    value = sealed[_U32.size :]
    return value if sealed == seal(name, value) else None
