"""The stores on disks that refuse, or lose their power."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import strace
from tests.chaos.power import PowerCutDisk
from tests.chaos.store_writer import COMMITS, MAP_SIZE, MEMBER, entry, stored
from tests.conformance.logs import journaled
from tests.unit.store.stored import written
from zraft.core.records import record_key
from zraft.errors import StorageFault, SyncFailed
from zraft.store.directory import runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

pytestmark = pytest.mark.chaos

WRITES = "pwrite64,pwritev,writev"

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
@pytest.mark.parametrize("error", ["ENOSPC:when=2+", "EIO", "EOPNOTSUPP"])  # the first are those of the locks
def test_a_disk_that_gives_no_blocks_in_advance_does_as_well(tmp_path: Path, error: str) -> None:
    done = strace.run(f"fallocate:error={error}", "-m", "tests.chaos.store_writer", "state", f"{tmp_path}/state")
    assert (done.returncode, done.stdout.split()) == (0, [str(number) for number in range(1, COMMITS + 1)])


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
