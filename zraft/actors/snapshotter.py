"""The snapshotter: a process that storage, or a gateway, starts for one snapshot, so that nothing waits for the copy.

``python -m zraft.actors.snapshotter JOB``, the job as JSON. Exit code 0: the newest snapshot in the job's directory
was made, or is sound, and every byte of it was read back. Else nothing has changed but leftovers; 79: the state itself
is damaged.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from zraft.actors.logs import Logger, set_up
from zraft.actors.process import name_process
from zraft.errors import CorruptSnapshot, CorruptState, FatalError
from zraft.protocol.entries import ClusterRecord
from zraft.store.files import forget_cached
from zraft.store.processes import die_with_parent, module_process
from zraft.store.snapshots import list_snapshots, make_snapshot, verify_snapshot, write_snapshot

STATE_DAMAGED = 79
"""Exit code: a copy of the state does not match the state's checksums."""
NICENESS = 10
"""Storage and gateways come first where processors are short."""


class Job(msgspec.Struct, frozen=True):
    """What to do: the paths are those of the state's environment and of the directory of snapshots.

    ``check``: the newest snapshot is only verified, and another one made if it is damaged. ``backup``: the path of a
    file that is made for somebody else instead, who verifies it.
    """

    node: str
    parent: int
    state: str
    directory: str
    map_size: int
    record: ClusterRecord | None
    check: bool
    backup: str = ""


def start(job: Job, descriptors: Collection[int] = ()) -> subprocess.Popen[bytes]:
    """Start the process; it inherits these descriptors.

    Raises:
        OSError: the machine has no room for it.
    """
    command, environment = module_process("zraft.actors.snapshotter", msgspec.json.encode(job).decode())
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=descriptors)


def main(job: Job) -> int:
    """Do it; returns the exit code."""
    die_with_parent(job.parent)
    os.nice(NICENESS)
    name_process(job.node, "snapshotter")
    logger = set_up(job.node, "snapshotter")
    try:
        if job.backup:
            write_snapshot(Path(job.state), Path(job.backup), job.map_size, job.record, time.time())
        else:
            newest = list_snapshots(Path(job.directory))[:1] if job.check else []
            if newest and _is_sound(newest[0], logger):
                return 0
            path, _ = make_snapshot(Path(job.state), Path(job.directory), job.map_size, job.record, time.time())
            _read_back(path)
            for damaged in newest:  # it may be of a later entry, and pass for the newest still
                if damaged != path:
                    damaged.unlink()
    except (FatalError, OSError) as error:
        logger.error("no snapshot was made", error=type(error).__name__, message=str(error))
        if isinstance(error, CorruptState):
            return STATE_DAMAGED
        return error.exit_code if isinstance(error, FatalError) else 1
    return 0


def _is_sound(path: Path, logger: Logger) -> bool:
    try:
        forget_cached(path)  # a snapshotter that was killed may not have read it back
        verify_snapshot(path)
    except (CorruptSnapshot, OSError) as error:
        logger.error("a damaged snapshot is replaced", message=str(error))
        return False
    return True


def _read_back(path: Path) -> None:
    """Verify what the disk holds, not what the page cache does. What is not sound is not left under its name."""
    try:
        forget_cached(path)
        verify_snapshot(path)
    except (CorruptSnapshot, OSError):  # the disk may find out only now that it can't read what it took
        path.unlink()
        raise


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Job)))
