"""A snapshot is read back from the disk before anybody may rest on it."""

import errno
from pathlib import Path

import pytest

from zraft.actors import snapshotter
from zraft.errors import CorruptSnapshot


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
