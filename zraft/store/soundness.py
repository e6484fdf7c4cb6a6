"""Verifying what is on a disk from end to end, before anything of it is believed: the log, and the state.

It is done by a process of its own, ``python -m zraft.store.soundness PATH MAP_SIZE state|log PARENT``: where LMDB's own
pages are damaged, LMDB may crash, or read beyond the end of the file, and that is to be damage found, not a node that
crashes. Whoever opens the log then reads it once more: its own map is what it votes with.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO

import lmdb
import msgspec

from zraft.core.integrity import StateFacts, verify_state as verify_tables
from zraft.core.records import FORMAT
from zraft.errors import CorruptLog, CorruptSnapshot, CorruptState, IdentityRefused, StorageFault
from zraft.protocol.entries import EntryId
from zraft.store.environment import DATA_FILE, corrupt_log, open_read_only
from zraft.store.log_contents import ENTRIES, META, read_contents, verify_entries
from zraft.store.manifest import Manifest
from zraft.store.meta_pages import fault_of_meta_pages
from zraft.store.page_use import fault_of_page_use
from zraft.store.probed import Probed, is_elsewhere, open_unwritten, verdict
from zraft.store.processes import die_with_parent, module_process
from zraft.store.snapshots import Progress, verify_snapshot
from zraft.store.state import check_format

NOTHING = StateFacts(EntryId(0, 0), 0, 0, 0, 0, 0)
"""What a state holds whose process died while it was made."""
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""What LMDB may end a process with that reads damaged pages."""

MAP_GRAIN = 1 << 20
"""The map of a file that does not grow has its size in bytes, rounded up to this."""


class _Answer(msgspec.Struct, frozen=True):
    """A line of the process: progress, or how it ended."""

    done: int = 0
    whole: int = 0
    facts: StateFacts | None = None
    sound: bool = False
    damage: str = ""
    refused: str = ""
    failure: str = ""


_answer = msgspec.json.Decoder(_Answer)


def verify_state(path: Path, map_size: int, progress: Progress = lambda done, whole: None) -> StateFacts:
    """Verify a state that nobody writes, from end to end: six seconds for a GB of values of 256 bytes.

    Args:
        path: the directory of the state, or a snapshot, which holds one.
        map_size: bytes of address space, the same in every process.
        progress: is told how far it has come.

    Raises:
        CorruptState: it is damaged; says what was found first, and in which generation.
        IdentityRefused: it has a format that this version does not know.
        StorageFault: it could not be verified.
    """
    last, damage = _run("state", path, map_size, progress)
    if damage:
        raise CorruptState(f"{path.name}: {damage}")
    return last.facts or NOTHING


def verify_contents(path: Path, progress: Progress = lambda done, whole: None) -> Manifest:
    """Verify a snapshot, and that the state in it is sound, and the one of which its manifest tells.

    Args:
        path: the file.
        progress: is told twice how far it has come: with the bytes, then with the state.

    Raises:
        CorruptSnapshot: it is damaged, or was made of a damaged state.
        IdentityRefused: it has a format that this version does not know.
        OSError: it can't be read.
        StorageFault: it could not be verified.
    """
    manifest = verify_snapshot(path, progress)
    try:
        facts = verify_state(path, path.stat().st_size // MAP_GRAIN * MAP_GRAIN + MAP_GRAIN, progress)
    except CorruptState as error:
        raise CorruptSnapshot(f"the snapshot {path} was made of a damaged state: {error}") from error
    if (facts.applied, facts.revision) != (manifest.last, manifest.revision):
        raise CorruptSnapshot(
            f"the snapshot {path} holds the state of {facts.applied}, and says that it is that of {manifest.last}"
        )
    return manifest


def verify_log(path: Path, map_size: int) -> None:
    """Verify a log that nobody writes, from end to end; one that is not there is sound.

    Args:
        path: the directory of the log.
        map_size: as in ``verify_state``.

    Raises:
        CorruptLog: it is damaged; says what was found first.
        IdentityRefused: it has a format that this version does not know.
        StorageFault: it could not be verified.
    """
    if not _holds_anything(path):
        return  # a new node need not wait for a process
    last, damage = _run("log", path, map_size, lambda done, whole: None)
    if last.damage:
        raise CorruptLog(last.damage)
    if damage:
        raise corrupt_log(path, None, f"can't be read: {damage}")


def _run(what: str, path: Path, map_size: int, progress: Progress) -> tuple[_Answer, str]:
    """The last answer of the process, and what damage there is; empty: none."""
    arguments = str(path), str(map_size), what, str(os.getpid())
    command, environment = module_process("zraft.store.soundness", *arguments)
    try:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        raise StorageFault(f"the {what} in {path} can't be verified: {error}") from error
    last = _Answer()
    with child:
        try:
            for line in child.stdout or ():
                last = _answer.decode(line)
                if last.whole:
                    progress(last.done, last.whole)
        except BaseException:
            child.kill()
            raise
    if last.refused:
        raise IdentityRefused(last.refused)
    if last.sound or last.damage:
        return last, last.damage
    if -child.returncode in CRASHES:
        return last, f"LMDB can't read it ({signal.Signals(-child.returncode).name})"
    failure = last.failure or f"the process ended with {child.returncode}"
    raise StorageFault(f"the {what} in {path} could not be verified: {failure}")


def scan_state(path: Path, map_size: int, progress: Progress = lambda done, whole: None) -> StateFacts:
    """As ``verify_state``, within this process: what LMDB does with damaged pages may end it.

    Raises:
        CorruptState: it is damaged; in words that do not name the directory.
        IdentityRefused: it has a format that this version does not know.
        StorageFault: it can't be read now, which says nothing of what it holds.
    """
    if not _holds_anything(path):
        return NOTHING
    env = open_unwritten(path, map_size)
    try:
        if not env.stat()["entries"]:
            return NOTHING
        with env.begin() as txn:
            tables = Probed(env, txn)
            found = tables.meta(FORMAT)
            if found is None:
                raise CorruptState("it does not say of which format it is")
            check_format(found, path)
            items, size = tables.sizes()
            facts = verify_tables(tables, lambda done: progress(size * min(done, items) // max(items, 1), size))
        if damage := fault_of_page_use(_file(path)):
            raise CorruptState(f"it {damage}")
        return facts
    except (lmdb.Error, struct.error) as error:
        raise verdict(error) from error
    finally:
        env.close()


def scan_log(path: Path, map_size: int) -> None:
    """As ``verify_log``, within this process: what LMDB does with damaged pages may end it."""
    if not _holds_anything(path):
        return
    if fault := fault_of_meta_pages(path):
        raise corrupt_log(path, None, fault)
    env = open_read_only(path, map_size, lock=False)
    try:
        if not env.info()["last_txnid"]:
            return
        with env.begin() as txn:
            meta, entries = (env.open_db(name, txn=txn, create=False) for name in (META, ENTRIES))
            verify_entries(txn, entries, path, read_contents(txn, meta, path))
        if fault := fault_of_page_use(_file(path)):
            raise corrupt_log(path, None, fault)
    except lmdb.Error as error:
        if is_elsewhere(error):
            raise StorageFault(str(error)) from error
        raise corrupt_log(path, None, f"can't be read: {error}") from error
    finally:
        env.close()


def _file(path: Path) -> Path:
    return path if path.is_file() else path / DATA_FILE


def _holds_anything(path: Path) -> bool:
    file = _file(path)
    return file.exists() and file.stat().st_size > 0


def main(path: Path, map_size: int, what: str, out: IO[bytes]) -> None:
    """The body of the process: tells whoever reads ``out``."""

    def tell(answer: _Answer) -> None:
        out.write(msgspec.json.encode(answer) + b"\n")
        out.flush()

    try:
        if what == "log":
            scan_log(path, map_size)
            tell(_Answer(sound=True))
        else:
            facts = scan_state(path, map_size, lambda done, whole: tell(_Answer(done, whole)))
            tell(_Answer(facts=facts, sound=True))
    except (CorruptLog, CorruptState) as error:
        tell(_Answer(damage=str(error)))
    except StorageFault as error:
        tell(_Answer(failure=str(error)))
    except IdentityRefused as error:
        tell(_Answer(refused=str(error)))


if __name__ == "__main__":
    # A node of 0.1.0 may run this module of a newer installation: it names two arguments, and means a state.
    if len(sys.argv) > 4:
        die_with_parent(int(sys.argv[4]))
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "state", sys.stdout.buffer)
