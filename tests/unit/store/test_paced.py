"""A copy of an environment that never has much in the kernel's cache which the disk must still write."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from zraft.store.environment import open_environment
from zraft.store.paced import DIRTY_BYTES_MAX, copy_paced

MAP_SIZE = 1 << 30
VALUE = os.urandom(8 << 20)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[lmdb.Environment]:
    env = open_environment(tmp_path / "from", MAP_SIZE, sync=False)
    with env.begin(write=True) as txn:
        txn.put(b"key", VALUE)
    yield env
    env.close()


def test_the_copy_is_whole_and_synced_as_it_grows(
    env: lmdb.Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [0]
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    (tmp_path / "to").mkdir()
    with (tmp_path / "to" / "data.mdb").open("wb", buffering=0) as file:
        copy_paced(env, file.fileno())
        sizes.append(file.tell())
    assert all(0 < after - before < 2 * DIRTY_BYTES_MAX for before, after in itertools.pairwise(sizes))
    copy = open_environment(tmp_path / "to", MAP_SIZE, sync=False)
    with copy.begin() as txn:
        assert txn.get(b"key") == VALUE
    copy.close()


def test_a_full_disk_ends_the_copy(env: lmdb.Environment) -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        copy_paced(env, full.fileno())


def test_what_can_not_be_copied_is_an_error(env: lmdb.Environment, tmp_path: Path) -> None:
    env.close()
    with (tmp_path / "to").open("wb", buffering=0) as file, pytest.raises(lmdb.Error):
        copy_paced(env, file.fileno())
