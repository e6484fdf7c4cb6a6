"""The records that keep a node down: of a failed fsync, and of a state that is not what a majority has."""

import shutil
from pathlib import Path

import pytest

from zraft.store.directory import DataDirectory
from zraft.store.fault import (
    acknowledge_sync_failure,
    pending_divergence,
    pending_sync_failure,
    record_divergence,
    record_sync_failure,
)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    (tmp_path / "data").mkdir()
    return DataDirectory(tmp_path / "data")


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_nothing_is_pending_before_a_failure(directory: DataDirectory, runtime: Path) -> None:
    assert pending_sync_failure(directory, runtime) is None


def test_a_failure_is_pending_until_it_is_acknowledged(directory: DataDirectory, runtime: Path) -> None:  # S13
    record_sync_failure(directory, runtime, "fdatasync: EIO")
    assert (pending_sync_failure(directory, runtime) or "").startswith("fdatasync: EIO (recorded at ")
    acknowledge_sync_failure(directory, runtime)
    assert pending_sync_failure(directory, runtime) is None


@pytest.mark.parametrize("lost", ["data", "run"])
def test_one_directory_is_enough(tmp_path: Path, directory: DataDirectory, runtime: Path, lost: str) -> None:
    shutil.rmtree(tmp_path / lost)
    record_sync_failure(directory, runtime, "fdatasync: EIO")
    assert "fdatasync: EIO" in (pending_sync_failure(directory, runtime) or "")


@pytest.mark.parametrize("content", [b"", b'{"detail":', b"\xff", b"[]"])
def test_a_damaged_record_is_pending_too(directory: DataDirectory, runtime: Path, content: bytes) -> None:
    directory.fault_record.write_bytes(content)
    assert f"{directory.fault_record} stands, and can't be read" in (pending_sync_failure(directory, runtime) or "")


def test_a_record_that_can_not_be_removed_goes_on_to_count(directory: DataDirectory, runtime: Path) -> None:
    directory.fault_record.mkdir()
    with pytest.raises(OSError, match="fsync-failure"):
        acknowledge_sync_failure(directory, runtime)
    assert pending_sync_failure(directory, runtime) is not None


def test_a_divergence_is_pending_from_its_record_on(directory: DataDirectory) -> None:
    assert pending_divergence(directory) is None
    record_divergence(directory, "another digest at index 512")
    assert (pending_divergence(directory) or "").startswith("another digest at index 512 (recorded at ")
    directory.divergence_record.write_bytes(b"{")
    assert "can't be read" in (pending_divergence(directory) or "")


def test_an_operator_whose_runtime_directory_is_another_one_acknowledges_all_the_same(
    tmp_path: Path, directory: DataDirectory, runtime: Path
) -> None:
    """It depends on the user and the environment: a service has not those of who logs in."""
    record_sync_failure(directory, runtime, "fdatasync: EIO")
    acknowledge_sync_failure(directory, tmp_path / "of the operator")
    assert pending_sync_failure(directory, runtime) is None
    record_sync_failure(directory, runtime, "fdatasync: EIO")
    shutil.rmtree(runtime)  # as at a boot
    acknowledge_sync_failure(directory, tmp_path / "of the operator")
    assert pending_sync_failure(directory, runtime) is None
