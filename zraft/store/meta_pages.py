"""LMDB's two meta pages, read for themselves: whether the newest commit is still there (trap 29).

A commit of LMDB writes one of the two, in turn: the commit of id N writes page N modulo 2. Opened, the environment is
what the page with the higher id says. So a page whose id a bad disk changed, or lost, takes the last commit back and
nobody notices: a log would have forgotten its last vote. But the ids of sound pages follow each other. Two bits of the
file escape this, each in half of all cases: the one that makes the older id, N - 1, look like N + 1, and the one that
makes N look like N - 2. A log that has a journal finds both (``store.log``, ``store.journal``).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from zraft.errors import StorageFault
from zraft.store.environment import DATA_FILE

_PAGE = struct.Struct("=16xII")  # the header of the page, the magic number, the version of the format
_PAGE_SIZE = struct.Struct("=16x24xI")
_ID = struct.Struct("=16x24x96x8xQ")  # address and size of the map, two tables of 48 bytes, the last page; the id
_ROOTS = struct.Struct("=16x24x40xQ40xQQQ")  # the same, with what stands before the id: a table ends with its root
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_SIZES = {1 << power for power in range(9, 17)}
"""Bytes that a page may have (LMDB's ``MAX_PAGESIZE`` is 64 KiB)."""


class Roots(NamedTuple):
    """Where the newest commit's trees begin: of the free pages, and of all tables; and the last page given out."""

    page_bytes: int
    free: int
    tables: int
    last: int
    commit: int


def newest_roots(file: int) -> Roots:
    """As LMDB has them that opens this file, whose meta pages are sound.

    Raises:
        struct.error: the file has no two of them.
        OSError: the file can't be read.
    """
    (size,) = _PAGE_SIZE.unpack(os.pread(file, _PAGE_SIZE.size, 0))
    found = (Roots(size, *_ROOTS.unpack(os.pread(file, _ROOTS.size, at))) for at in (0, size))
    return max(found, key=lambda roots: roots.commit)


def fault_of_meta_pages(path: Path) -> str:
    """What is wrong with those of the environment in the directory ``path``, which has no writer; empty: nothing.

    Nothing is wrong with a file that is not there, is empty, or was made and never written: there was no commit yet.

    Raises:
        StorageFault: the file can't be read.
    """
    try:
        with (path / DATA_FILE).open("rb") as file:
            first = file.read(_ID.size)
            if not first:
                return ""
            size = _PAGE_SIZE.unpack_from(first)[0] if len(first) == _ID.size else 0
            if size not in _SIZES:
                return "has a damaged first meta page"
            file.seek(size)
            second = file.read(_ID.size)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise StorageFault(f"the LMDB environment {path} can't be read: {error}") from error
    pages = first, second
    if any(len(page) < _ID.size or _PAGE.unpack_from(page) != (_MAGIC, _VERSION) for page in pages):
        return "has a damaged meta page"
    ids = [_ID.unpack(page)[0] for page in pages]
    if ids == [0, 0] or (abs(ids[0] - ids[1]) == 1 and not ids[0] % 2):
        return ""
    return f"has meta pages of the commits {ids[0]} and {ids[1]}, which do not follow each other: one is damaged"
