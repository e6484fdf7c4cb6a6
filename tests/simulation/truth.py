"""What the nodes are held against: the committed entries, and the state that they come to."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.simulation.history import History
from tests.simulation.memory import MemoryState
from zraft.core.records import AppliedState
from zraft.protocol.codec import unpack_commands
from zraft.protocol.entries import EntryKind
from zraft.protocol.requests import Batch, Put


class Committed(NamedTuple):
    """An entry that a leader found committed, and what comes of it."""

    term: int
    """Of the entry."""
    by: int
    """The term whose leader found it committed first."""
    state: AppliedState
    """What the state says of itself after it."""
    results: bytes
    version: int
    """The cluster version from it on."""
    checkpoint: int


def values_of(kind: int, payload: bytes) -> Iterator[bytes]:
    """What an entry's commands put."""
    if kind != EntryKind.COMMANDS:
        return
    for command in unpack_commands(payload) or ():
        for operation in command.operations if isinstance(command, Batch) else (command,):
            if isinstance(operation, Put):
                yield operation.value


class Truth(MemoryState):
    """The state that all nodes' states come to, compacted like theirs; what it forgets, the history keeps."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    def append_records(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        super().append_records(records)
        for at, record in records:
            self._history.add(at, record)
