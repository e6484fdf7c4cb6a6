"""The newest entries of a leader's log, kept in memory: what is proposed, and what close followers still need."""

from __future__ import annotations

from zraft.protocol.entries import EntryId, entry_term


class Tail:
    """Entries (base.index, last] in their encoded form, with the id of the entry before them."""

    def __init__(self, base: EntryId) -> None:
        self.base = base
        self.bytes = 0
        self._entries: list[bytes] = []

    @property
    def last(self) -> int:
        """Index of the last entry."""
        return self.base.index + len(self._entries)

    def append(self, data: bytes) -> None:
        """Add the entry at ``last`` + 1."""
        self._entries.append(data)
        self.bytes += len(data)

    def holds(self, first: int) -> bool:
        """Whether an Append that begins at ``first`` can be made from memory, with the id before it."""
        return self.base.index < first <= self.last + 1

    def before(self, first: int) -> EntryId:
        """The id of the entry before ``first`` (see ``holds``)."""
        if first - 1 == self.base.index:
            return self.base
        return EntryId(first - 1, entry_term(self._entries[first - 2 - self.base.index]))

    def slice(self, first: int, bytes_max: int) -> tuple[bytes, ...]:
        """Entries from ``first`` on, at least one if there is one, then as many as fit in ``bytes_max``."""
        start = first - self.base.index - 1
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
        drop = 0
        size = self.bytes
        for offset, data in enumerate(self._entries):
            index = self.base.index + offset + 1
            if index >= kept or (index >= needed and size <= bytes_max):
                break
            size -= len(data)
            drop = offset + 1
        if drop:
            self.base = EntryId(self.base.index + drop, entry_term(self._entries[drop - 1]))
            del self._entries[:drop]
            self.bytes = size
