"""How a node with an empty data directory becomes a member of a cluster that runs: before it is started.

Its member id is made durable first, then announced, and last it stores the cluster's index-0 record, without which
it would take no part. So a crash at any point leaves a directory with which the same command goes on, as the same
member: to announce it twice is no error.

Meanwhile it answers over HTTP: alive, and not ready. Somebody may have to act first, as remove the member whose name
it has, and nothing is to be restarted for that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

from zraft.actors.http import HttpServer, health
from zraft.actors.logs import set_up
from zraft.client import Client
from zraft.config import Settings
from zraft.core.versions import SUPPORTED
from zraft.errors import (
    ConfigurationError,
    IdentityRefused,
    MembershipRefused,
    NotExecuted,
    Rejected,
    StorageFault,
    SyncFailed,
    Unavailable,
    Unknown,
)
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord
from zraft.protocol.responses import MembersResult
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import record_sync_failure
from zraft.store.log import LmdbLog

TRY_SECONDS = 5.0
PAUSE_SECONDS = 1.0
LOG_SECONDS = 10.0


def join(settings: Settings) -> None:
    """Announce the node of ``settings`` to the cluster that it is to join, unless it was a member of one before.

    It waits for a cluster that does not answer, and while that has no place for it, as when its name is another
    member's. A failed sync of the log is put on record, and damage of a node that ran before is left to be found, by
    the node itself: it stays up, and says what is wrong. Only a main thread may call this: SIGTERM and SIGHUP end the
    process at once from then on, as an orderly stop does, with exit code 0.

    Raises:
        ConfigurationError: the settings do not fit the cluster's or the machine, or the directory holds a restored
            state.
        IdentityRefused: the cluster does not understand the node.
        DataDirectoryInUse: another node holds the lock.
        StorageFault: the data directory, which is new, can't be used.
    """
    # Nothing needs an order here; a supervisor that ran before has left handlers. The kernel's own for SIGTERM would
    # not end a process 1.
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _end(settings))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory = DataDirectory(settings.data_path())
    directory.acquire()
    try:
        log = _open_log(directory, settings)
        if log is not None:
            try:
                _become_member(directory, log, settings)
            finally:
                log.close()
    except SyncFailed as error:
        record_sync_failure(directory, runtime_directory(directory.path), str(error))
    finally:
        directory.release()


def _end(settings: Settings) -> NoReturn:
    set_up(settings.id, "joining").info("node stopped", exit_code=0)
    os._exit(0)


def _open_log(directory: DataDirectory, settings: Settings) -> LmdbLog | None:
    """The log, made if the directory is new; None: it can't be used, and the node itself is to say so, once it runs."""
    # Who has run has the record of its cluster, or is a peer, who forms one only with all others.
    has_run = any(directory.path.glob("state.*"))
    member = secrets.randbits(64) or 1
    try:
        return LmdbLog(directory.log_path, member, settings.map_size_gib << 30, create=not has_run)
    except SyncFailed:
        raise
    except (StorageFault, IdentityRefused):
        if has_run:
            return None
        raise


def _become_member(directory: DataDirectory, log: LmdbLog, settings: Settings) -> None:
    if log.record is not None:
        return
    if log.initial_state or log.last.index:
        # Nothing of the cluster: its log would begin with another one's state.
        raise ConfigurationError(
            f"{directory.path} holds a restored state, which makes a new cluster (--peers): "
            "join with an empty directory"
        )
    log.set_record(_announce(settings, log.member), formed=True)
    log.commit()


class _Waiting:
    """Why the node is not a member yet, for its log and for ``/health``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._why = "asking the cluster to join"
        self.log = set_up(settings.id, "joining")

    def because(self, why: str) -> None:
        """That is why, for now."""
        self._why = why
        self.log.every(LOG_SECONDS, "waiting for the cluster to join", why=why)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Answers over HTTP meanwhile."""
        settings = self._settings
        resources = health(settings.id, lambda: f"waiting for the cluster to join: {self._why}")
        server = HttpServer(settings.host, settings.http_port, resources, self.log)
        server.start()
        try:
            yield
        finally:
            server.close()


def _announce(settings: Settings, member: int) -> ClusterRecord:
    waiting = _Waiting(settings)
    with waiting.told(), Client(settings.join_endpoints(), timeout=TRY_SECONDS) as client:
        while True:
            try:
                record = _record_of(client.members(), settings)
                client.add_member(settings.id, settings.peer_endpoint(), member=member)
            except (NotExecuted, Unknown, MembershipRefused) as error:
                waiting.because(str(error))
                time.sleep(PAUSE_SECONDS)
            except Rejected as error:
                raise IdentityRefused(f"the cluster refuses {settings.id}: {error}") from error
            else:
                waiting.log.info("joined", cluster=record.cluster_id().hex(), member=f"{member:016x}")
                return record


def _record_of(members: MembersResult, settings: Settings) -> ClusterRecord:
    """The record to store, if this node can keep the promise that is in it (S7), and apply by the cluster's rules."""
    if not members.record:
        raise Unavailable("the node that answered is not in a cluster yet")
    if members.cluster_version > SUPPORTED:
        raise IdentityRefused(
            f"the cluster is at version {members.cluster_version}, and this version of zraft knows only up to "
            f"{SUPPORTED}: upgrade zraft on the machine of {settings.id}, then start it again"
        )
    record = codec.cluster_record.decode(members.record)
    if record.election_timeout_min_ms != settings.election_timeout_min_ms:
        raise ConfigurationError(
            f"election_timeout_min_ms is {settings.election_timeout_min_ms}, but the cluster was formed with "
            f"{record.election_timeout_min_ms}, which its members rely on: set it to that"
        )
    return record
