"""Where a node keeps its things: the data directory, held by a lock, and the runtime directory beside it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from zraft.errors import ConfigurationError, CorruptLog, DataDirectoryInUse, InvariantViolated, StorageFault
from zraft.store.files import make_directory

MEMORY_DIRECTORY = Path("/dev/shm")
IPC_PATH_BYTES_MAX = 106
"""libzmq's own limit is 107: the kernel's ``sun_path`` without the final zero."""


class DataDirectory:
    """The names in a data directory, and the lock that keeps a second node out of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def lock_path(self) -> Path:
        """The file that is locked while a process uses the directory; it stays."""
        return self.path / "lock"

    @property
    def log_path(self) -> Path:
        """The environment of the log: durable on every commit."""
        return self.path / "log"

    def state_path(self, generation: int) -> Path:
        """The environment of the applied state. A state that replaces another one gets the next generation."""
        return self.path / f"state.{generation}"

    @property
    def snapshots_path(self) -> Path:
        """The directory of the snapshots."""
        return self.path / "snapshots"

    @property
    def dirty_mark(self) -> Path:
        """There while ``state/`` may hold what is not on the disk."""
        return self.path / "dirty"

    @property
    def fault_record(self) -> Path:
        """There from a failed fsync of the log until an operator acknowledges it."""
        return self.path / "fsync-failure.json"

    @property
    def divergence_record(self) -> Path:
        """There from the day on which the leader found that the state differs from a majority's, until a repair."""
        return self.path / "diverged.json"

    @property
    def swap_record(self) -> Path:
        """There while the data of a new cluster takes the place of the old one (``store.repair``)."""
        return self.path / "swap.json"

    @property
    def restoring_path(self) -> Path:
        """What is to be the log, there while a snapshot is restored to here (``store.restore``)."""
        return self.path / "log.restoring"

    def require_whole(self) -> None:
        """Check that the data is all of that of one member.

        Raises:
            CorruptLog: a part of it is missing, or that of a new cluster, as making it was interrupted.
        """
        if self.restoring_path.exists() and not self.log_path.exists():
            raise CorruptLog(
                f"{self.path} holds a part of a snapshot that was to be restored, as that was interrupted: stop the "
                "node, then repeat `zraft snapshot restore`, or empty the directory"
            )
        if self.swap_record.exists():
            raise CorruptLog(
                f"{self.path} holds a part of an old member's data and a part of a new cluster's, as making that was "
                f"interrupted: finish it with `zraft repair {self.path} --force-new-cluster`"
            )

    def acquire(self) -> int:
        """Locks the directory, which is made first if it is missing (mode 0700).

        The lock belongs to the open file, so a process that inherits the descriptor holds it as well: the directory
        is free when the last of them has exited or closed it (S1: no two trios act on one directory).

        Returns:
            The descriptor to hand down.

        Raises:
            DataDirectoryInUse: another node holds the lock.
            StorageFault: the directory can't be made, written or locked.
        """
        if self._lock is not None:
            raise InvariantViolated("data-directory-acquired-once", descriptor=self._lock)
        try:
            make_directory(self.path)
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageFault(f"the data directory {self.path} can't be used: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            by_whom = f"process {holder} or a child of it" if holder.isdecimal() else "another process"
            raise DataDirectoryInUse(f"the data directory {self.path} is in use by {by_whom}") from None
        except OSError as error:
            os.close(descriptor)
            raise StorageFault(f"the data directory {self.path} can't be locked: {error}") from error
        # The pid is for the message above only: a full disk is no reason to stay down.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor
        return descriptor

    def require_in_place(self) -> None:
        """Check that what is locked is still what the path leads to.

        Raises:
            StorageFault: it was moved, removed or mounted over: whoever started there now would begin with nothing.
        """
        if self._lock is None:
            raise InvariantViolated("the data directory is held", path=self.path)
        try:
            if os.path.samestat(os.fstat(self._lock), os.stat(self.lock_path)):
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            return  # a disk that fails says nothing of where it is: its node is to stay up, and say so
        raise StorageFault(
            f"the data directory {self.path} was moved, removed or mounted over while the node ran: put it back, then "
            "start the node"
        )

    def release(self) -> None:
        """Lets go of the lock; processes that inherited it keep it."""
        if self._lock is not None:
            # Closed, not LOCK_UN, which would unlock the open file under everybody who shares it.
            os.close(self._lock)
            self._lock = None


def runtime_directory(data_directory: Path) -> Path:
    """The directory (made if missing, mode 0700) of a node's sockets and page: gone after a reboot, and short.

    Raises:
        ConfigurationError: somebody else could read or replace what is in it.
    """
    digest = hashlib.sha256(os.fsencode(data_directory.resolve())).hexdigest()
    path = _runtime_parent() / f"zraft-{os.geteuid()}-{digest[:12]}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigurationError(f"the runtime directory {path} can't be made: {error}") from error
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"the runtime directory {path} is not a directory of this user alone (mode 0700): "
            "remove it, or set XDG_RUNTIME_DIR to a directory of your own"
        )
    return path


def hold_runtime(runtime: Path) -> int:
    """Keep all others from this runtime directory for as long as the descriptor, which is returned, is open.

    Its name is made of the path of the data, and containers have paths of their own: two nodes may have different data
    under the same path, and share the memory that their runtime directories are in.

    Raises:
        ConfigurationError: another node holds it.
    """
    descriptor = os.open(runtime, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"the runtime directory {runtime} is used by a node with other data: set XDG_RUNTIME_DIR to another "
            "directory for each of them"
        ) from error
    return descriptor


def ipc_endpoint(runtime: Path, incarnation: int, name: str) -> str:
    """The ZeroMQ endpoint of an actor of one incarnation of the trio.

    Raises:
        ConfigurationError: the path is longer than a Unix socket's may be.
    """
    path = f"{runtime}/{incarnation:016x}.{name}"
    length = len(os.fsencode(path))
    if length > IPC_PATH_BYTES_MAX:
        raise ConfigurationError(
            f"the socket path {path} has {length} bytes, and {IPC_PATH_BYTES_MAX} are allowed: "
            "set XDG_RUNTIME_DIR to something shorter"
        )
    return f"ipc://{path}"


def _runtime_parent() -> Path:
    configured = os.environ.get("XDG_RUNTIME_DIR", "")
    # The XDG rules have a relative path ignored.
    if os.path.isabs(configured) and os.access(configured, os.W_OK | os.X_OK):
        return Path(configured)
    # Memory, not a disk: on a file system that is being synced, a write to the mapped page may wait for the disk,
    # and a heartbeat behind it.
    if os.access(MEMORY_DIRECTORY, os.W_OK | os.X_OK):
        return MEMORY_DIRECTORY
    return Path(tempfile.gettempdir())
