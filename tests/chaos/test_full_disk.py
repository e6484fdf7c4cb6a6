"""The stores on disks that fill up: what is written waits, or is refused, and nothing is lost."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.chaos import power
from tests.chaos.power import PowerCutDisk, fill_up
from tests.chaos.store_writer import COMMITS, MAP_SIZE, MEMBER, entry, stored
from tests.conformance.logs import journaled
from zraft.core.records import record_key
from zraft.errors import OutOfSpace, SyncFailed
from zraft.store import growing
from zraft.store.ahead import BlocksAhead
from zraft.store.environment import LOCK_FILE
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

pytestmark = pytest.mark.chaos

MIB = 1 << 20


@pytest.fixture
def sharing_disk() -> Iterator[PowerCutDisk]:
    """With a state of three records, each of a MiB, and a copy of it that shares its blocks."""
    if reason := power.available("xfs"):
        pytest.skip(reason)
    with PowerCutDisk(power.XFS_MIB_MIN, "xfs") as disk:
        state = LmdbState(disk.path / "state.1", MAP_SIZE)
        for operation in range(3):  # of revision 0: a writer goes on with 1
            state.append_records([(record_key(0, operation), bytes(MIB))])
            state.commit()
        state.sync()
        state.close()
        copied = ["cp", "-r", "--reflink=always", str(disk.path / "state.1"), str(disk.path / "copy")]
        subprocess.run(copied, check=True)
        yield disk


def write_all(state: LmdbState, number: int) -> int:
    """Write as many MiB as there is room for; the number of the last one that could be written."""
    with pytest.raises(OutOfSpace, match="no space left"):  # noqa: PT012 (whichever of the two LMDB refuses)
        while True:
            state.append_records([(record_key(number, 0), bytes([number]) * MIB)])
            state.commit()
            number += 1
    state.abort()
    return number - 1


@pytest.mark.parametrize("in_place", [True, False])
def test_a_full_disk_blocks_the_state_and_loses_nothing(
    disk: PowerCutDisk, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    if not in_place:
        monkeypatch.setattr(growing, "IN_PLACE", frozenset())
    state = LmdbState(disk.path / "state.1", MAP_SIZE)
    state.append_records([(record_key(1, 0), b"before")])
    state.commit()
    fill_up(disk.path / "filler")
    written = write_all(state, 2)
    assert written < 10
    for _ in range(2):
        assert write_all(state, written + 1) == written
        assert state.record(record_key(1, 0)) == b"before"
        assert [state.record(record_key(number, 0)) for number in range(2, written + 2)] == [
            *[bytes([number]) * MIB for number in range(2, written + 1)],
            None,
        ]
    state.abort()
    (disk.path / "filler").unlink()
    state.append_records([(record_key(written + 1, 0), bytes(MIB))])
    state.commit()
    assert state.record(record_key(written + 1, 0)) == bytes(MIB)
    state.close()


def test_blocks_that_the_state_shares_with_a_copy_become_its_own(sharing_disk: PowerCutDisk) -> None:
    """To write a shared one through the map would be a SIGBUS on a full disk: it needs a new one."""
    free, _ = power.room(sharing_disk)
    LmdbState(sharing_disk.path / "state.1", MAP_SIZE).close()
    assert free - power.room(sharing_disk)[0] >= 3 * MIB


def test_a_full_disk_stops_the_log_and_loses_nothing(disk: PowerCutDisk) -> None:  # S13
    log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
    log.append(1, [entry(1)])
    log.commit()
    fill_up(disk.path / "filler")
    log.append(2, [entry(number) for number in range(2, 50)])
    with pytest.raises(SyncFailed, match="the file system is full"):
        log.commit()
    with pytest.raises(SyncFailed):
        log.set_term(2, 0)
    log.close()
    (disk.path / "filler").unlink()
    assert stored(disk.path / "log") == [entry(1)]


def test_a_log_whose_locks_find_no_block_is_not_opened(disk: PowerCutDisk) -> None:
    """LMDB writes them through a map: it would be a SIGBUS."""
    LmdbLog(disk.path / "log", MEMBER, MAP_SIZE).close()
    os.truncate(disk.path / "log" / LOCK_FILE, 0)
    fill_up(disk.path / "filler")
    writer = [sys.executable, "-m", "tests.chaos.store_writer", "log", str(disk.path / "log")]
    done = subprocess.run(writer, capture_output=True, text=True)
    assert done.stderr.startswith(f"no space left for {disk.path / 'log' / LOCK_FILE}, without which ")
    (disk.path / "filler").unlink()
    assert stored(disk.path / "log") == []


@pytest.mark.parametrize("ends", ["goes on", "is killed", "loses its power"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_votes_are_durable_on_a_disk_that_others_filled_to_the_last_byte(kind: str, ends: str) -> None:
    """LMDB's commit of the first vote takes all that the journal holds, which needs the most room of all."""
    if reason := power.available(kind):
        pytest.skip(reason)
    with PowerCutDisk(power.XFS_MIB_MIN, kind) as disk:
        log = journaled(disk.path / "log")
        BlocksAhead(disk.path / "log").renew()
        for number in range(1, 71):  # three blocks each, of 254
            log.append(number, [entry(number)])
            log.commit()
        fill_up(disk.path / "filler")
        if ends != "goes on":
            log.close()
            if ends == "loses its power":
                disk.cut()
                fill_up(disk.path / "filler")
            log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
        for term in range(2, 52):
            log.set_term(term, MEMBER)
            log.commit()
        log.close()
        disk.cut()
        log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
        assert (log.term, log.vote, log.last.index) == (51, MEMBER, 70)
        log.close()


def test_a_full_disk_does_not_stop_what_the_journal_takes(disk: PowerCutDisk) -> None:
    log = journaled(disk.path / "log")
    fill_up(disk.path / "filler")
    for number in range(1, COMMITS + 1):
        log.append(number, [entry(number)])
        log.commit()
    log.close()
    disk.cut()
    assert stored(disk.path / "log") == [entry(number) for number in range(1, COMMITS + 1)]
