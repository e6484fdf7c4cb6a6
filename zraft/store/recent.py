"""The newest entries of the log in memory, as they came: apply takes them from there, and not from the disk's map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

RECENT_BYTES_MAX = 16 << 20


class Recent:
    """The newest entries, by index without a gap, as many as fit into ``RECENT_BYTES_MAX``."""

    def __init__(self) -> None:
        self._entries: dict[int, bytes] = {}
        self._bytes = 0

    def add(self, first: int, entries: Sequence[bytes]) -> None:
        """These were appended; the oldest make room."""
        self._entries.update(enumerate(entries, first))
        self._bytes += sum(map(len, entries))
        while self._bytes > RECENT_BYTES_MAX:
            self._bytes -= len(self._entries.pop(next(iter(self._entries))))

    def truncate(self, first: int) -> None:
        """The entry at ``first`` and all behind it are gone."""
        while self._entries and next(reversed(self._entries)) >= first:
            self._bytes -= len(self._entries.popitem()[1])

    def take(self, first: int, bytes_max: int) -> list[bytes]:
        """As ``LmdbLog.entries``, but none when ``first`` is not among them."""
        return as_fits(self._from(first), bytes_max)

    def _from(self, index: int) -> Iterator[bytes]:
        while (data := self._entries.get(index)) is not None:
            yield data
            index += 1


def as_fits(entries: Iterator[bytes], bytes_max: int) -> list[bytes]:
    """The first one, and then as many as fit."""
    found: list[bytes] = []
    for data in entries:
        bytes_max -= len(data)
        if found and bytes_max < 0:
            break
        found.append(data)
    return found
