"""The storage process around its actor: what the clusters of the other tests don't come by."""

import contextlib
from pathlib import Path

import pytest

from zraft.actors import storage
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger
from zraft.config import Settings
from zraft.errors import SyncFailed


class Failing:
    """An actor whose log could not be made durable while a thread of it is busy with a snapshot."""

    closed = False

    def __init__(self, launch: Launch, logger: Logger) -> None:
        """As the real one."""

    def run(self, stop: StopSignal) -> None:
        raise SyncFailed("fdatasync: EIO")

    def close(self) -> None:
        """The real one waits for that thread."""
        Failing.closed = True


def test_a_failed_sync_is_told_without_waiting_for_anybody(monkeypatch: pytest.MonkeyPatch) -> None:  # S13
    monkeypatch.setattr(storage, "StorageActor", Failing)
    stop = StopSignal()
    with contextlib.closing(stop), pytest.raises(SyncFailed):
        storage.run(Launch(Settings(), Path(), 0, 0, None), stop, Logger("node-1", "storage"))
    assert not Failing.closed
