"""A snapshot is read back from the disk before anybody may rest on it."""

import errno
import os
from pathlib import Path

import pytest

from tests.unit.store.stored import RECORD, written
from zraft.actors import snapshotter
from zraft.actors.snapshotter import Job
from zraft.errors import CorruptSnapshot
from zraft.store.snapshots import list_snapshots, snapshot_path


@pytest.mark.parametrize("error", [CorruptSnapshot("a chunk"), OSError(errno.EIO, "Input/output error")])
def test_what_can_not_be_read_back_is_not_left_under_its_name(  # trap 30
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "00000000000000000009.snapshot"
    path.write_bytes(b"as it was written")

    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(snapshotter, "verify_snapshot", fail)
    with pytest.raises(type(error)):
        snapshotter._read_back(path)
    assert not path.exists()


def test_a_damaged_snapshot_of_a_later_entry_does_not_pass_for_the_newest(tmp_path: Path) -> None:
    # The state was made anew of less than it covers; and whoever cuts the log goes by the newest.
    directory = written(tmp_path / "node-1", 5, 5)
    snapshots = directory.snapshots_path
    snapshots.mkdir(exist_ok=True)
    damaged = snapshot_path(snapshots, 9)
    damaged.write_bytes(b"no snapshot")
    job = Job("node-1", os.getpid(), str(directory.state_path(0)), str(snapshots), 1 << 30, RECORD, check=True)
    assert snapshotter.start(job).wait() == 0
    assert list_snapshots(snapshots) == [snapshot_path(snapshots, 5)]
