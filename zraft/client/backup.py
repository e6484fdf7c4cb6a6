"""Saving a backup: chunks of one node's snapshot into a file, in flat memory, verified before it gets its name."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from zraft.errors import NotExecuted, ProtocolError, Unavailable
from zraft.protocol.requests import BACKUP_NAME_BYTES_MAX, Get, ReadBackup
from zraft.protocol.responses import BackupChunk, GetResult
from zraft.store.files import sync_directory
from zraft.store.manifest import Manifest
from zraft.store.snapshots import Progress, verify_snapshot

MAKING_S_MAX = 600.0
"""How long a node may take to copy its state before the first byte of it comes."""
POLL_S_MIN, POLL_S_MAX = 0.02, 0.5

_ANY_KEY = b"zraft"
"""Read for the revision that is told with it."""

R = TypeVar("R", BackupChunk, GetResult)


class Ask(Protocol):
    """Sends a request; raises a ``ZraftError``."""

    def __call__(self, request: ReadBackup | Get, answer: type[R], only: str = "", /) -> R:
        """The answer. ``only``: of this endpoint, which is asked once."""


def save(ask: Ask, endpoints: tuple[str, ...], timeout: float, path: Path, progress: Progress) -> Manifest:
    """See ``Client.snapshot``.

    Any node may give it, once a serializable read there tells no lower revision than a linearizable read has told: then
    its state has what was acknowledged before.

    Args:
        ask: how the nodes are asked.
        endpoints: nodes, the best first: each is asked to begin until one does.
        timeout: seconds after which a chunk is asked for no more, and that the last attempt may take.
        path: the file.
        progress: is told (bytes done, bytes in all).
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no regular file: name one that may be replaced, or that is not there yet")
    path = path.resolve()  # where a link leads to is replaced, not the link
    if not path.parent.is_dir():  # the system's words would be of a temporary file's name
        raise FileNotFoundError(f"there is no directory {path.parent}")
    least = ask(Get(_ANY_KEY), GetResult).revision
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # Only for its owner: it holds all keys and values.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            reader = _begun(ask, endpoints, timeout, least)
            reader.read_into(file, progress)
            file.flush()
            os.fsync(file.fileno())
        manifest = verify_snapshot(fresh)
        if manifest.revision < least:  # it was restarted meanwhile
            raise Unavailable(f"the backup ends with revision {manifest.revision}, before {least}: try again")
        fresh.rename(path)
        sync_directory(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return manifest


class _Reader:
    """One backup at one node."""

    def __init__(self, ask: Ask, endpoint: str, timeout: float) -> None:
        self._ask = ask
        self._endpoint = endpoint
        self._timeout = timeout
        self._name = secrets.token_bytes(BACKUP_NAME_BYTES_MAX)

    def begin(self, least: int) -> None:
        """Ask for the backup for the first time: once, as there may be other nodes to ask.

        Args:
            least: the node must have come to this revision; it may take ``timeout`` seconds for that.

        Raises:
            NotExecuted: it did not, or gives no backup now.
        """
        end = time.monotonic() + self._timeout
        while (found := self._revision()) < least:
            if time.monotonic() >= end:
                raise Unavailable(f"{self._endpoint} is at revision {found}, and does not reach {least}")
            time.sleep(POLL_S_MIN)
        self._ask(ReadBackup(self._name), BackupChunk, self._endpoint)

    def read_into(self, file: BinaryIO, progress: Progress) -> None:
        """All of it, once the node has made it."""
        pause, end = POLL_S_MIN, time.monotonic() + MAKING_S_MAX
        while not (chunk := self._chunk(0)).size:
            if time.monotonic() >= end:
                raise Unavailable(f"{self._endpoint} has not made a snapshot within {MAKING_S_MAX:g} s")
            time.sleep(pause)
            pause = min(2 * pause, POLL_S_MAX)
        size, done = chunk.size, 0
        while True:
            file.write(chunk.data)
            done += len(chunk.data)
            progress(done, size)
            if done >= size:
                return
            chunk = self._chunk(done)
            if chunk.size != size or not chunk.data:
                raise ProtocolError(f"{self._endpoint}: the snapshot of {size} bytes ended after {done}")

    def _revision(self) -> int:
        return self._ask(Get(_ANY_KEY, serializable=True), GetResult, self._endpoint).revision

    def _chunk(self, offset: int) -> BackupChunk:
        """A chunk, asked for again while that may help: to read it twice does no harm."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                return self._ask(ReadBackup(self._name, offset), BackupChunk, self._endpoint)
            except NotExecuted:
                if time.monotonic() + POLL_S_MAX >= end:
                    raise
                time.sleep(POLL_S_MAX)


def _begun(ask: Ask, endpoints: tuple[str, ...], timeout: float, least: int) -> _Reader:
    failures: list[NotExecuted] = []
    for endpoint in endpoints:
        reader = _Reader(ask, endpoint, timeout)
        try:
            reader.begin(least)
        except NotExecuted as error:
            failures.append(error)
        else:
            return reader
    raise type(failures[-1])("; ".join(map(str, failures)))
