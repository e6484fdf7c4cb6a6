"""The newest entries of a leader's log, kept in memory: what is proposed, and what close followers still need."""

from __future__ import annotations

from itertools import islice

from zraft.protocol.entries import EntryId, entry_term

GAPS_MAX = 1_024
"""So many places of dropped entries stay at the front of the list: to move up all others costs time for each."""


class Tail:
    """Entries (base.index, last] in their encoded form, with the id of the entry before them."""

    def __init__(self, base: EntryId) -> None:
        self.base = base
        self.last = base.index
        """Index of the last entry."""
        self.bytes = 0
        self._entries: list[bytes] = []
        self._gaps = 0  # at the front of the list, of entries that were dropped

    def append(self, data: bytes) -> None:
        """Add the entry at ``last`` + 1."""
        self._entries.append(data)
        self.last += 1
        self.bytes += len(data)

    def holds(self, first: int) -> bool:
        """Whether an Append that begins at ``first`` can be made from memory, with the id before it."""
        return self.base.index < first <= self.last + 1

    def before(self, first: int) -> EntryId:
        """The id of the entry before ``first`` (see ``holds``)."""
        if first - 1 == self.base.index:
            return self.base
        return EntryId(first - 1, entry_term(self._entries[self._place(first - 1)]))

    def slice(self, first: int, bytes_max: int) -> tuple[bytes, ...]:
        """Entries from ``first`` on, at least one if there is one, then as many as fit in ``bytes_max``."""
        start = self._place(first)
        size = 0
        for end in range(start, len(self._entries)):
            length = len(self._entries[end])
            if size and size + length > bytes_max:
                return tuple(self._entries[start:end])
            size += length
        return tuple(self._entries[start:])

    def cut(self, needed: int, kept: int, bytes_max: int) -> None:
        """Drop what nobody needs: all below index ``needed``, and below ``kept`` what exceeds ``bytes_max``.

        The own storage reads back what a slow peer asks for later, so only entries that it lacks must stay.
        """
        end = self._gaps
        size = self.bytes
        for index, data in enumerate(islice(self._entries, end, None), self.base.index + 1):
            if index >= kept or (index >= needed and size <= bytes_max):
                break
            size -= len(data)
            end += 1
        if end == self._gaps:
            return
        self.base = EntryId(self.base.index + end - self._gaps, entry_term(self._entries[end - 1]))
        self.bytes = size
        if end > GAPS_MAX or end == len(self._entries):
            del self._entries[:end]
            self._gaps = 0
        else:
            self._entries[self._gaps : end] = [b""] * (end - self._gaps)
            self._gaps = end

    def _place(self, index: int) -> int:
        return index - self.base.index - 1 + self._gaps
