"""Who holds a view of the state for too long: as long as it lives, no page that it sees can be used again."""

from __future__ import annotations

from typing import NamedTuple

_NO_VIEW = "-"


class Reader(NamedTuple):
    """A row of LMDB's table of readers: who sees the state as which transaction left it."""

    pid: int
    thread: str
    transaction: int


def parse_readers(table: str) -> list[Reader]:
    """The readers that hold a view at the moment, of what LMDB prints of its table."""
    rows = (line.split() for line in table.splitlines())
    return [
        Reader(int(row[0]), row[1], int(row[2]))
        for row in rows
        if len(row) == 3 and row[0].isdecimal() and row[2] != _NO_VIEW
    ]


class LaggingReaders:
    """Tells who held one view from one look to the next.

    A view that begins after a look shows what was newest then, at least: so a reader that was behind at the last look,
    and is where it was, has not begun anew in between. However rarely somebody writes, no other reader is meant.
    """

    def __init__(self) -> None:
        self._behind: set[Reader] = set()

    def look(self, readers: list[Reader], newest: int) -> set[int]:
        """The processes whose view is as old as the time between this look and the last.

        Args:
            readers: who holds a view.
            newest: the last transaction that was committed.
        """
        lagging = {reader.pid for reader in readers if reader in self._behind}
        self._behind = {reader for reader in readers if reader.transaction < newest}
        return lagging
