"""When a simulated node makes snapshots, and cuts its log behind them: at any moment; how far, the product decides."""

from typing import TYPE_CHECKING

from zraft.core.log_keeping import LogKeeping, Sizes
from zraft.protocol.peer import SnapshotId

if TYPE_CHECKING:
    from tests.simulation.node import Node

ENTRY_BYTES = 64
"""What an entry of the log counts for."""


class Keeper:
    """Belongs to one start of one storage."""

    def __init__(self, node: "Node", name: str) -> None:
        self._node = node
        self._name = name
        self.keeping = LogKeeping(node.log_bytes)
        newest = node.snapshots.newest()
        if newest is not None:
            self.keeping.made(newest.index, self._sizes())

    def take(self, newest: SnapshotId | None) -> SnapshotId | None:
        """A snapshot of what is published, or the one that there is if there can't be any."""
        node = self._node
        if node.state.open or not node.applied().index:
            return newest
        snapshot = node.snapshots.take(node.state)
        self.keeping.made(snapshot.index, self._sizes())
        node.world.note(self._name, f"snapshot of {snapshot.index}")
        return snapshot

    def cut(self) -> None:
        """The log, behind the newest snapshot, but not before somebody's stream."""
        node = self._node
        to = self.keeping.cut(self._sizes(), node.clock.now()) if self.keeping.snapshot else None
        if to is not None:
            node.world.note(self._name, f"cuts its log behind {to}")
            node.log.cut(to)

    def _sizes(self) -> Sizes:
        log, applied = self._node.log, self._node.applied().index
        return Sizes(log.base.index, log.last.index, applied, (log.last.index - log.base.index) * ENTRY_BYTES, 0)
