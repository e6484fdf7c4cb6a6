"""LMDB's compacting copy at the pace of the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading

import lmdb

DIRTY_BYTES_MAX = 1 << 20
"""So much is written and not yet on the disk: the commit of a log beside it waits for no more than that."""


def copy_paced(env: lmdb.Environment, descriptor: int) -> None:
    """Write a compacting copy of ``env`` to an open file, at its position, and sync it as it grows.

    In one go, the kernel would take all of it into its cache, and then have the disk write it with everybody's
    ``fdatasync`` behind it. Measured with 0.5 GB on a busy machine of 2 cores, two runs each: the slowest put beside a
    copy in one go took 358 and 154 ms, beside a paced one 55 and 58, and beside none 120.

    Raises:
        lmdb.Error: the environment can't be copied.
        OSError: the disk refused.
    """
    source, sink = os.pipe()
    failures: list[Exception] = []

    def feed() -> None:
        try:
            env.copyfd(sink, compact=True)
        except Exception as error:  # of any kind: a copy that broke off must not pass for a whole one
            failures.append(error)
        finally:
            os.close(sink)

    with contextlib.suppress(OSError):  # who has many pipes may have no large one: it is only slower
        fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, DIRTY_BYTES_MAX)
    thread = threading.Thread(target=feed, name="copy")
    thread.start()
    try:
        _drain_into(descriptor, source)
    finally:
        while os.read(source, DIRTY_BYTES_MAX):
            pass  # after an error: the thread ends by itself, and not by a broken pipe
        thread.join()
        os.close(source)
    if failures:
        raise failures[0]


def _drain_into(descriptor: int, source: int) -> None:
    dirty = 0
    while data := os.read(source, DIRTY_BYTES_MAX):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        dirty += len(data)
        if dirty >= DIRTY_BYTES_MAX:
            os.fdatasync(descriptor)
            dirty = 0
