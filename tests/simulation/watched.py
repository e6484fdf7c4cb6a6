"""A node's stores, which tell the invariants, and the node, what happens to them."""

from collections.abc import Callable, Sequence

from tests.simulation.invariants import Invariants, require
from tests.simulation.memory import MemoryLog, MemoryState
from zraft.protocol.entries import Configuration, EntryId, entry_term


class WatchedLog(MemoryLog):
    """A log that tells what happens to it, and whether anything waits for a commit."""

    def __init__(self, member: int, invariants: Invariants) -> None:
        super().__init__(member)
        self._invariants = invariants
        invariants.logs[member] = self
        self.dirty = False

    def set_term(self, term: int, vote: int) -> None:
        require(term >= self.term, "term never goes back", member=self.member, before=self.term, after=term)
        self.dirty = True
        super().set_term(term, vote)

    def keep_configurations(self, configurations: tuple[Configuration, ...]) -> None:
        self.dirty = True
        self._invariants.in_force(*configurations)
        super().keep_configurations(configurations)

    def append(self, first: int, entries: Sequence[bytes]) -> None:
        self.dirty = True
        previous = self.last.term
        for index, data in enumerate(entries, first):
            self._invariants.appended(index, previous, data)
            previous = entry_term(data)
        super().append(first, entries)

    def truncate(self, first: int) -> None:
        self.dirty = True
        self._invariants.truncated(self.member, first)
        super().truncate(first)

    def cut(self, to: int) -> None:
        super().cut(to)
        self._invariants.cut(self.member, self.base)

    def install(self, snapshot: EntryId, generation: int) -> None:
        self.dirty = True
        self._invariants.installed(self.member, self.term, self.term_at(snapshot.index) == snapshot.term)
        super().install(snapshot, generation)
        self._invariants.cut(self.member, snapshot)

    def commit(self) -> None:
        self.dirty = False
        super().commit()

    def crash(self) -> None:
        self.dirty = False
        super().crash()


class WatchedState(MemoryState):
    """A state that tells what is written to it, whether a transaction is open, and when one has ended."""

    def __init__(
        self, member: int, invariants: Invariants, use_room: Callable[[int], None], published: Callable[[], None]
    ) -> None:
        self._member = member
        self._invariants = invariants
        self._use_room = use_room
        self._published = published
        super().__init__()

    def commit(self) -> None:
        super().commit()
        self._published()

    @property
    def open(self) -> bool:
        """Whether there is anything that readers must not see yet."""
        return bool(self._keys_before or self._meta_before or self._records_before)

    def fill(self, tables: tuple[dict[bytes, bytes], ...]) -> None:
        super().fill(tables)
        self._invariants.filled(self._member, self)

    def append_records(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        self._use_room(len(records))
        for at, record in records:
            self._invariants.recorded(self._member, at, record)
        super().append_records(records)
