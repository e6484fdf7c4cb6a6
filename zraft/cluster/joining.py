"""How a node with an empty data directory becomes a member of a cluster that runs: before it is started.

Its member id is made durable first, then announced, and last it stores the cluster's index-0 record, without which
it would take no part. So a crash at any point leaves a directory with which the same command goes on, as the same
member: to announce it twice is no error.
"""

from __future__ import annotations

import secrets
import time

from zraft.actors.logs import Log, set_up
from zraft.client import Client
from zraft.config import Settings
from zraft.errors import ConfigurationError, IdentityRefused, NotExecuted, Rejected, Unavailable, Unknown
from zraft.protocol import codec
from zraft.protocol.client import MembersResult
from zraft.protocol.entries import ClusterRecord
from zraft.store.directory import DataDirectory
from zraft.store.log import LmdbLog

TRY_SECONDS = 5.0
PAUSE_SECONDS = 1.0


def join(settings: Settings) -> None:
    """Announce the node of ``settings`` to the cluster that it is to join, unless it was a member of one before.

    It waits for a cluster that does not answer.

    Raises:
        ConfigurationError: the settings do not fit the cluster's, or the directory holds a restored state.
        IdentityRefused: the cluster refuses the node; says what to do.
        DataDirectoryInUse: another node holds the lock.
        StorageFault: the data directory can't be used.
    """
    directory = DataDirectory(settings.data_path())
    directory.acquire()
    try:
        is_new = not any(directory.path.glob("state.*"))
        member = secrets.randbits(64) or 1
        log = LmdbLog(directory.log_path, member, settings.map_size_gib << 30, create=is_new)
        try:
            if log.record is None:
                if log.initial_state or log.last.index:
                    # Nothing of the cluster: its log would begin with another one's state.
                    raise ConfigurationError(
                        f"{directory.path} holds a restored state, which makes a new cluster (--peers): "
                        "join with an empty directory"
                    )
                log.set_record(_announce(settings, log.member, set_up(settings.id, "joining")), formed=True)
                log.commit()
        finally:
            log.close()
    finally:
        directory.release()


def _announce(settings: Settings, member: int, log: Log) -> ClusterRecord:
    with Client(settings.join_endpoints(), timeout=TRY_SECONDS) as client:
        while True:
            try:
                record = _record_of(client.members(), settings)
                client.add_member(settings.id, settings.peer_endpoint(), member=member)
            except (NotExecuted, Unknown) as error:
                log.every(PAUSE_SECONDS, "waiting for the cluster to join", why=str(error))
                time.sleep(PAUSE_SECONDS)
            except Rejected as error:
                raise IdentityRefused(f"the cluster refuses {settings.id}: {error}") from error
            else:
                log.info("joined", cluster=record.cluster_id().hex(), member=f"{member:016x}")
                return record


def _record_of(members: MembersResult, settings: Settings) -> ClusterRecord:
    """The record to store, if this node can keep the promise that is in it (S7)."""
    if not members.record:
        raise Unavailable("the node that answered is not in a cluster yet")
    record = codec.cluster_record.decode(members.record)
    if record.election_timeout_min_ms != settings.election_timeout_min_ms:
        raise ConfigurationError(
            f"election_timeout_min_ms is {settings.election_timeout_min_ms}, but the cluster was formed with "
            f"{record.election_timeout_min_ms}, which its members rely on: set it to that"
        )
    return record
