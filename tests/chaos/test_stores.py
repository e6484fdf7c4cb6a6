"""The stores on disks that refuse, fill up, or lose their power."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos import power, strace
from tests.chaos.power import PowerCutDisk, fill_up
from tests.chaos.store_writer import COMMITS, MAP_SIZE, MEMBER, entry
from tests.conformance.logs import journaled
from tests.unit.store.stored import written
from zraft.core.records import record_key
from zraft.errors import OutOfSpace, StorageFault, SyncFailed
from zraft.store import growing
from zraft.store.ahead import BlocksAhead
from zraft.store.directory import runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

pytestmark = pytest.mark.chaos

WRITES = "pwrite64,pwritev,writev"
MIB = 1 << 20

# Written without zraft: what the rule S13 is there for.
LMDB_ALONE = """
import lmdb, sys
env = lmdb.open(sys.argv[1])
for key in (b"1", b"2", b"3"):
    txn = env.begin(write=True)
    txn.put(key, b"")
    try:
        txn.commit()
    except lmdb.Error as error:
        print("refused", error.code)
with env.begin() as txn:
    print(*(key.decode() for key, _ in txn.cursor()))
"""


COMMIT = f"""
import sys
from pathlib import Path
from zraft.store.log import LmdbLog
log = LmdbLog(Path(sys.argv[1]), {MEMBER}, {MAP_SIZE})
log.commit()
print("committed")
"""


JOIN = """
import sys
from zraft.cluster.joining import join
from zraft.config import Settings
join(Settings(id="node-1", data_dir=sys.argv[1], join="127.0.0.1:1", map_size_gib=1))
"""


@pytest.fixture
def faults() -> None:
    if reason := strace.available():
        pytest.skip(reason)


@pytest.fixture
def disk() -> Iterator[PowerCutDisk]:
    if reason := power.available():
        pytest.skip(reason)
    with PowerCutDisk(16) as disk:
        yield disk


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


def stored(path: Path) -> list[bytes]:
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    entries = log.entries(1, 1 << 40)
    log.close()
    return entries


def write_all(state: LmdbState, number: int) -> int:
    """Write as many MiB as there is room for; the number of the last one that could be written."""
    with pytest.raises(OutOfSpace, match="no space left"):  # noqa: PT012 (whichever of the two LMDB refuses)
        while True:
            state.append_records([(record_key(number, 0), bytes([number]) * MIB)])
            state.commit()
            number += 1
    state.abort()
    return number - 1


@pytest.mark.usefixtures("faults")
def test_lmdb_alone_goes_on_after_a_failed_sync(tmp_path: Path) -> None:  # trap 30a
    done = strace.run("fdatasync:error=EIO:when=2", "-c", LMDB_ALONE, str(tmp_path))
    assert done.stdout == "refused 5\n1 3\n"


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("when", [1, 2, 3, 4, 8])
def test_after_a_failed_sync_the_log_commits_nothing(tmp_path: Path, when: int) -> None:  # S13, trap 30a
    done = strace.run(f"fdatasync:error=EIO:when={when}", "-m", "tests.chaos.store_writer", "log", f"{tmp_path}/log")
    acknowledged = max(0, when - 3)  # the first sync is the one at the start, the second makes the log
    assert done.stdout.split() == [str(number) for number in range(1, acknowledged + 1)]
    assert done.returncode == SyncFailed.exit_code
    assert "--acknowledge-fsync-failure" in done.stderr
    assert stored(tmp_path / "log") == [entry(number) for number in range(1, acknowledged + 1)]


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("when", [1, 2, 3, 4, 8])
def test_after_a_failed_sync_of_its_journal_the_log_commits_nothing(tmp_path: Path, when: int) -> None:  # S13, trap 30a
    journaled(tmp_path / "log").close()
    done = strace.run(f"fdatasync:error=EIO:when={when}", "-m", "tests.chaos.store_writer", "log", f"{tmp_path}/log")
    acknowledged = max(0, when - 3)  # the first two syncs are those at the start, of tables and journal
    assert done.stdout.split() == [str(number) for number in range(1, acknowledged + 1)]
    assert done.returncode == SyncFailed.exit_code
    assert "--acknowledge-fsync-failure" in done.stderr
    found = stored(tmp_path / "log")
    assert acknowledged <= len(found) <= acknowledged + 1
    assert found == [entry(number) for number in range(1, len(found) + 1)]


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "retval=100"])
@pytest.mark.parametrize("when", range(1, 2 * COMMITS, 2))
def test_after_a_failed_write_to_its_journal_the_log_commits_nothing(tmp_path: Path, fault: str, when: int) -> None:
    """S13. The first commit of a start is LMDB's. Of the two writes of another one may have been done."""
    journaled(tmp_path / "log").close()
    done = strace.run(f"pwrite64:{fault}:when={when}", "-m", "tests.chaos.store_writer", "log", f"{tmp_path}/log")
    acknowledged = len(done.stdout.split())
    assert done.stdout.split() == [str(number) for number in range(1, acknowledged + 1)]
    assert (done.returncode, "SyncFailed" in done.stderr) == (SyncFailed.exit_code, True)
    found = stored(tmp_path / "log")
    assert acknowledged <= len(found) <= acknowledged + 1
    assert found == [entry(number) for number in range(1, len(found) + 1)]


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", [1, 2, 4, 7, 12])
def test_a_log_whose_writer_is_killed_in_a_commit_loses_nothing(tmp_path: Path, call: str, when: int) -> None:
    journaled(tmp_path / "log").close()
    done = strace.run(f"{call}:signal=KILL:when={when}", "-m", "tests.chaos.store_writer", "log", f"{tmp_path}/log")
    acknowledged = len(done.stdout.split())
    assert (done.returncode == 0) == (acknowledged == COMMITS)
    found = stored(tmp_path / "log")
    assert acknowledged <= len(found) <= min(acknowledged + 1, COMMITS)
    assert found == [entry(number) for number in range(1, len(found) + 1)]


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("when", range(1, 12))
def test_a_log_whose_writer_is_killed_as_lmdb_takes_the_journal_loses_nothing(tmp_path: Path, when: int) -> None:
    """The start finds entries in the journal, and its first commit is LMDB's: some ten calls."""
    log = journaled(tmp_path / "log")
    for number in range(1, COMMITS + 1):
        log.append(number, [entry(number)])
        log.commit()
    log.close()
    done = strace.run(f"{WRITES},fdatasync:signal=KILL:when={when}", "-c", COMMIT, f"{tmp_path}/log")
    assert (done.returncode, done.stdout) in {(-9, ""), (0, "committed\n")}
    assert stored(tmp_path / "log") == [entry(number) for number in range(1, COMMITS + 1)]


@pytest.mark.usefixtures("faults")
def test_a_sync_that_fails_before_the_node_runs_is_put_on_record(  # S13
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = written(tmp_path / "data", entries=3, applied=3)
    done = strace.run("fdatasync:error=EIO:when=1", "-c", JOIN, str(directory.path))
    assert (done.returncode, done.stderr) == (0, "")
    failure = pending_sync_failure(directory, runtime_directory(directory.path))
    acknowledge_sync_failure(directory, runtime_directory(directory.path))
    assert failure is not None
    assert "could not be made durable" in failure


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "retval=100"])
@pytest.mark.parametrize("when", range(3, 11))
def test_after_a_failed_write_the_log_commits_nothing(tmp_path: Path, fault: str, when: int) -> None:  # S13
    """Among the writes is the synchronous one of LMDB's meta page, after the sync of the data."""
    done = strace.run(f"{WRITES}:{fault}:when={when}", "-m", "tests.chaos.store_writer", "log", f"{tmp_path}/log")
    acknowledged = len(done.stdout.split())
    assert done.stdout.split() == [str(number) for number in range(1, acknowledged + 1)]
    assert (done.returncode, "SyncFailed" in done.stderr) == (SyncFailed.exit_code, True)
    # Of a commit that failed nobody knows; all before it are there.
    found = stored(tmp_path / "log")
    assert acknowledged <= len(found) <= acknowledged + 1 <= COMMITS
    assert found == [entry(number) for number in range(1, len(found) + 1)]


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("store", ["state", "plain-state"])
def test_a_commit_of_the_state_waits_for_no_sync(tmp_path: Path, store: str) -> None:
    done = strace.run("fdatasync,msync:error=EIO", "-m", "tests.chaos.store_writer", store, f"{tmp_path}/state")
    assert (done.returncode, done.stdout.split()) == (0, [str(number) for number in range(1, COMMITS + 1)])


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("fault", ["error=EIO", "retval=100"])
def test_a_disk_that_refuses_is_not_mistaken_for_a_full_one(tmp_path: Path, fault: str) -> None:
    done = strace.run(f"{WRITES}:{fault}:when=5", "-m", "tests.chaos.store_writer", "plain-state", f"{tmp_path}/state")
    assert done.returncode == StorageFault.exit_code
    assert done.stderr.startswith("StorageFault writing to ")


@pytest.mark.usefixtures("faults")
def test_a_disk_without_room_is_told_by_its_error(tmp_path: Path) -> None:
    fault = f"{WRITES}:error=ENOSPC:when=5"
    done = strace.run(fault, "-m", "tests.chaos.store_writer", "plain-state", f"{tmp_path}/state")
    assert done.stderr.startswith("OutOfSpace no space left for ")


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EOPNOTSUPP"])
def test_a_disk_that_gives_no_blocks_in_advance_does_as_well(tmp_path: Path, error: str) -> None:
    done = strace.run(f"fallocate:error={error}", "-m", "tests.chaos.store_writer", "state", f"{tmp_path}/state")
    assert (done.returncode, done.stdout.split()) == (0, [str(number) for number in range(1, COMMITS + 1)])


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


@pytest.mark.parametrize("ends", ["goes on", "is killed", "loses its power"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_votes_are_durable_on_a_disk_that_others_filled_to_the_last_byte(kind: str, ends: str) -> None:
    """LMDB's commit of the first vote takes all that the journal holds, which needs the most room of all."""
    if reason := power.available(kind):
        pytest.skip(reason)
    with PowerCutDisk(power.XFS_MIB_MIN, kind) as disk:
        log = journaled(disk.path / "log")
        # As the kernel does within half a minute: LMDB's file of locks is new, and without blocks it can't be opened.
        subprocess.run(["sync", "--file-system", str(disk.path)], check=True)
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


def test_what_the_journal_took_survives_a_power_cut(disk: PowerCutDisk) -> None:  # traps 1, 20, 21
    log = journaled(disk.path / "log")
    for number in range(1, COMMITS + 1):
        log.append(number, [entry(number)])
        log.commit()
    log.append(COMMITS + 1, [entry(COMMITS + 1)])
    log.close()
    disk.cut()
    for _ in range(2):
        assert stored(disk.path / "log") == [entry(number) for number in range(1, COMMITS + 1)]
    log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
    log.set_term(5, MEMBER)
    log.commit()
    log.append(COMMITS + 1, [entry(COMMITS + 1)])
    log.commit()
    log.close()
    disk.cut()
    assert stored(disk.path / "log") == [entry(number) for number in range(1, COMMITS + 2)]


def test_a_journal_that_was_just_made_survives_a_power_cut(disk: PowerCutDisk) -> None:  # trap 28
    journaled(disk.path / "log").close()
    disk.cut()
    assert stored(disk.path / "log") == []


def test_a_full_disk_does_not_stop_what_the_journal_takes(disk: PowerCutDisk) -> None:
    log = journaled(disk.path / "log")
    fill_up(disk.path / "filler")
    for number in range(1, COMMITS + 1):
        log.append(number, [entry(number)])
        log.commit()
    log.close()
    disk.cut()
    assert stored(disk.path / "log") == [entry(number) for number in range(1, COMMITS + 1)]


def test_what_the_log_committed_survives_a_power_cut(disk: PowerCutDisk) -> None:  # traps 1, 20, 21
    log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
    for number in range(1, COMMITS + 1):
        log.append(number, [entry(number)])
        log.set_term(number, MEMBER)
        log.commit()
    log.append(COMMITS + 1, [entry(COMMITS + 1)])
    log.close()
    disk.cut()
    assert stored(disk.path / "log") == [entry(number) for number in range(1, COMMITS + 1)]
    log = LmdbLog(disk.path / "log", MEMBER, MAP_SIZE)
    assert (log.term, log.vote) == (COMMITS, MEMBER)
    log.close()


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("make", [lambda path: None, lambda path: journaled(path).close()], ids=["tables", "journal"])
def test_what_a_dead_process_left_unsynced_is_synced_at_the_start(
    disk: PowerCutDisk, make: Callable[[Path], None]
) -> None:  # S13
    """The first process believes in its syncs, which do nothing. The second one makes durable what it answers from."""
    make(disk.path / "log")
    done = strace.run("fdatasync:retval=0", "-m", "tests.chaos.store_writer", "log", str(disk.path / "log"))
    assert done.returncode == 0
    entries = stored(disk.path / "log")
    assert len(entries) == COMMITS
    disk.cut()
    assert stored(disk.path / "log") == entries


def test_a_state_that_was_synced_survives_a_power_cut(disk: PowerCutDisk) -> None:
    state = LmdbState(disk.path / "state.1", MAP_SIZE)
    state.append_records([(record_key(1, 0), b"r")])
    state.commit()
    state.sync()
    state.close()
    disk.cut()
    state = LmdbState(disk.path / "state.1", MAP_SIZE)
    assert state.record(record_key(1, 0)) == b"r"
    state.close()
