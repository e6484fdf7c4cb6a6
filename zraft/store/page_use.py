"""Which pages of an LMDB environment are in use, and which are free, as its file has them: none is both (trap 29).

LMDB keeps the numbers of the pages that may be written again in a table without a name, into which no read ever looks.
A bit of it that a bad disk changed does harm with a commit, which writes over a page that is in use, or ends the
process. So all trees are followed here from their roots. Each page that they come to, or that is free, is so once, and
is one that was given out. What the tables hold is checked by whoever reads them; here it is what LMDB goes by when it
takes pages and frees them. As ``store.meta_pages`` this is for files of machines with 64 bits and the lower byte first.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from zraft.errors import StorageFault
from zraft.store.meta_pages import Roots, newest_roots

_PAGE = struct.Struct("=Q2xHHH")  # its number, of which kind it is, the end of the list of its nodes, where they begin
_LONG = struct.Struct("=Q2xHI")  # the first of a value that has pages of its own: the same, and how many they are
_NODE = struct.Struct("=HHHH")  # size of its value, low and high half; flags; size of its key
_FLAGS = 4
"""Where a node has them, none beyond the first byte."""
_ROOT = struct.Struct("=40xQ")  # of a table, in the value that the table of all tables has for it
_U64 = struct.Struct("=Q")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_IS_LONG, _IS_TABLE = 1, 2
_NOWHERE = (1 << 64) - 1
"""The root of an empty table."""
_META_PAGES = 2


def fault_of_page_use(file: Path) -> str:
    """What is wrong with the pages of the environment in this file, which has no writer; empty: nothing.

    Raises:
        StorageFault: the file can't be read.
    """
    try:
        with file.open("rb", buffering=0) as opened:
            _Pages(opened.fileno(), newest_roots(opened.fileno())).check()
    except (ValueError, struct.error) as error:
        return f"has damaged pages: {error}"
    except OSError as error:
        raise StorageFault(f"the LMDB environment {file} can't be read: {error}") from error
    return ""


class _Pages:
    def __init__(self, file: int, roots: Roots) -> None:
        self._file, self._roots, self._size = file, roots, roots.page_bytes
        self._taken: set[int] = set()

    def check(self) -> None:
        """Raises ValueError, or struct.error, which say what is wrong."""
        for page, nodes in self._leaves(self._roots.tables):
            for node in nodes:
                if page[node + _FLAGS] & _IS_TABLE:
                    self._check_table(*_ROOT.unpack(self._value(page, node)))
        freed = 0
        for page, nodes in self._leaves(self._roots.free):
            for node in nodes:
                before, (freed,) = freed, _U64.unpack_from(page, node + _NODE.size)
                if not before < freed <= self._roots.commit:
                    raise ValueError(f"pages were freed by commit {freed}, behind {before}")
                self._take_free(self._value(page, node))

    def _check_table(self, root: int) -> None:
        for page, nodes in self._leaves(root):
            for node in nodes:
                if page[node + _FLAGS] & _IS_LONG:
                    self._take_long(page, node)

    def _leaves(self, root: int) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        """Of the table with this root, in its order: each page, and where in it the nodes are."""
        waiting = [] if root == _NOWHERE else [root]
        while waiting:
            number = waiting.pop()
            self._take(number)
            page = os.pread(self._file, self._size, number * self._size)
            stored, kind, lower, upper = _PAGE.unpack_from(page)
            if stored != number or kind not in {_BRANCH, _LEAF} or not _PAGE.size <= lower <= upper <= self._size:
                raise ValueError(f"page {number} is none of a table")
            nodes = struct.unpack_from(f"={(lower - _PAGE.size) // 2}H", page, _PAGE.size)
            if any(not upper <= node <= self._size - _NODE.size for node in nodes):
                raise ValueError(f"page {number} has a node where none can be")
            if kind == _LEAF:
                yield page, nodes
                continue
            for node in reversed(nodes):  # the page that it leads to stands where a leaf has size and flags
                low, high, top, _ = _NODE.unpack_from(page, node)
                waiting.append(low | high << 16 | top << 32)

    def _value(self, page: bytes, node: int) -> bytes:
        if page[node + _FLAGS] & _IS_LONG:
            at, size = self._take_long(page, node)
            return os.pread(self._file, size, at)
        low, high, _, key_size = _NODE.unpack_from(page, node)
        at = node + _NODE.size + key_size
        return page[at : at + (low | high << 16)]

    def _take_long(self, page: bytes, node: int) -> tuple[int, int]:
        """Where in the file a value begins that has pages of its own, maybe more than it needs; and its size."""
        low, high, _, key_size = _NODE.unpack_from(page, node)
        (number,) = _U64.unpack_from(page, node + _NODE.size + key_size)
        self._take(number)
        at, size = number * self._size, low | high << 16
        stored, kind, count = _LONG.unpack(os.pread(self._file, _LONG.size, at))
        if (stored, kind) != (number, _OVERFLOW) or count * self._size < _LONG.size + size:
            raise ValueError(f"page {number} does not begin a value of {size} bytes")
        for further in range(number + 1, number + count):
            self._take(further)
        return at + _LONG.size, size

    def _take_free(self, listed: bytes) -> None:
        (count,) = _U64.unpack_from(listed)
        numbers = struct.unpack_from(f"={count}Q", listed, _U64.size)
        if any(number <= following for number, following in pairwise(numbers)):
            raise ValueError("a list of free pages is out of order")
        for number in numbers:
            self._take(number)

    def _take(self, number: int) -> None:
        if not _META_PAGES <= number <= self._roots.last:
            raise ValueError(f"page {number} was never given out")
        if number in self._taken:
            raise ValueError(f"page {number} has two uses, or is free and has one")
        self._taken.add(number)
