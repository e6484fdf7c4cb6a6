"""What a node knows of itself and of its cluster, put together from the page and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from zraft.config import Settings
from zraft.core.room import LACKS
from zraft.core.versions import SUPPORTED
from zraft.protocol import codec
from zraft.protocol.local import IdentityGroup, RoleGroup, StorageGroup
from zraft.protocol.requests import ClusterStatus, ListMembers, Request
from zraft.protocol.responses import MemberInfo, MembersResult, PeerInfo, StatusResult
from zraft.store.page import Group, Page

_NO_ROLE = RoleGroup(term=0, role="", leader=0)
_NO_STORAGE = StorageGroup(generation=0, term=0, first=0, last=0, commit=0, applied=0, revision=0, space=0)

T = TypeVar("T")


def from_page(
    request: Request, page: Page, settings: Settings, client_endpoints: Mapping[str, str]
) -> StatusResult | MembersResult | None:
    """The answer to a request that any node answers from its page; None: it is another one, or can't be yet."""
    match request:
        case ClusterStatus():
            return cluster_status(page, settings, client_endpoints)
        case ListMembers():
            identity = _load(page, Group.IDENTITY, codec.identity_group)
            storage = _load(page, Group.STORAGE, codec.storage_group) or _NO_STORAGE
            return member_list(identity, settings, client_endpoints, storage.cluster_version) if identity else None
    return None


def cluster_status(page: Page, settings: Settings, client_endpoints: Mapping[str, str]) -> StatusResult:
    """This node's own view. Before the cluster has formed its fields are empty.

    ``notice`` says why the node is not ready, and what to do when space is short.

    Args:
        page: the node's page.
        settings: the node's settings.
        client_endpoints: where clients of the other members connect, by name, as far as it is known.
    """
    role = _load(page, Group.ROLE, codec.role_group) or _NO_ROLE
    storage = _load(page, Group.STORAGE, codec.storage_group) or _NO_STORAGE
    commit = _load(page, Group.COMMIT, codec.commit_group)
    identity = _load(page, Group.IDENTITY, codec.identity_group)
    members = identity.configuration.members if identity else ()
    notices = (
        *(page.words(group) for group in (Group.DISORDER, Group.NOTICE)),
        _opening(page),
        _leaderless(identity, role),
        _behind(storage) if identity and role.leader else "",
        LACKS[storage.space],
    )
    return StatusResult(
        node_id=settings.id,
        state=role.role,
        # Of the same group as the state: a leader is one of its term.
        current_term=role.term or storage.term,
        leader_id=identity.configuration.name_of(role.leader) if identity and role.leader else "",
        peers=tuple(
            PeerInfo(
                member.name,
                f"{member.id:016x}",
                member.address or settings.peers.get(member.name, ""),
                client_endpoints.get(member.name, ""),
                member.voter,
            )
            for member in members
            if identity and member.id != identity.member
        ),
        # What was committed once stays so: the higher number of the two is the better one, whatever its term.
        commit_index=max(storage.commit, commit.commit if commit else 0),
        last_applied=storage.applied,
        member_id=f"{identity.member:016x}" if identity else "",
        cluster_id=identity.cluster.hex() if identity else "",
        first_log_index=storage.first,
        last_log_index=storage.last,
        revision=storage.revision,
        notice="; ".join(dict.fromkeys(filter(None, notices))),
        compacted_revision=storage.compacted,
        snapshot_index=storage.holdings.snapshot,
        log_bytes=storage.holdings.log_bytes,
        state_bytes=storage.holdings.state_bytes,
        snapshots_bytes=storage.holdings.snapshots_bytes,
        installing_held_bytes=storage.holdings.installing_held_bytes,
        installing_bytes=storage.holdings.installing_bytes,
        cluster_version=storage.cluster_version,
        supported_version=SUPPORTED,
        swept_revision=storage.swept,
    )


def member_list(
    identity: IdentityGroup, settings: Settings, client_endpoints: Mapping[str, str], cluster_version: int
) -> MembersResult:
    """The members as this node knows them, each with an address if it was ever told one."""
    known = settings.member_addresses() | identity.configuration.addresses()
    members = tuple(
        MemberInfo(one.name, one.id, one.voter, known.get(one.name, ""), client_endpoints.get(one.name, ""))
        for one in identity.configuration.members
    )
    record = codec.encode(identity.record) if identity.record else b""
    return MembersResult(identity.configuration.index, members, record, cluster_version)


def voters(page: Page) -> int:
    """How many members count for a majority; 0 before the cluster has formed."""
    identity = _load(page, Group.IDENTITY, codec.identity_group)
    return len(identity.configuration.voters()) if identity else 0


def named_fields(status: StatusResult) -> dict[str, object]:
    """A status with the names of its fields, for JSON; on the wire it is an array."""
    return msgspec.structs.asdict(status) | {"peers": [msgspec.structs.asdict(peer) for peer in status.peers]}


def why_not_ready(page: Page) -> str:
    """Why requests had better go to another node, in words; empty when this one is ready."""
    node = _load(page, Group.NODE, codec.node_group)
    identity = _load(page, Group.IDENTITY, codec.identity_group)
    role = _load(page, Group.ROLE, codec.role_group) or _NO_ROLE
    storage = _load(page, Group.STORAGE, codec.storage_group) or _NO_STORAGE
    if disorder := page.words(Group.DISORDER):
        return disorder
    notice = page.words(Group.NOTICE)
    if node is None or node.incarnation == 0:
        return notice or "election, replication and storage are not running"
    if opening := _opening(page):
        return opening
    if identity is None or not identity.cluster:
        return f"the cluster has not formed{': ' + notice if notice else ''}"
    if leaderless := _leaderless(identity, role):
        return f"{leaderless}{': ' + notice if notice else ''}"
    if size := storage.holdings.installing_bytes:
        # Who restarts one node after the other is not to take the next one yet: this one acknowledges nothing new.
        return f"a snapshot is received: {storage.holdings.installing_held_bytes} of {size} bytes"
    if storage.applied == 0:
        return "storage has applied nothing yet"
    return _behind(storage)


def _load(page: Page, group: Group, channel: codec.Channel[T]) -> T | None:
    payload = page.load(group)
    return None if payload is None else channel.decode(payload)


def _leaderless(identity: IdentityGroup | None, role: RoleGroup) -> str:
    """That no leader is known, in a cluster that has formed."""
    return f"no leader is known in term {role.term}" if identity and identity.cluster and not role.leader else ""


def _behind(storage: StorageGroup) -> str:
    """That storage has not caught up yet. As while a snapshot is received, the next node is not to be taken."""
    match storage.catching_up:
        case None:
            return ""
        case 0:
            return "no leader has said yet what is committed"
        case goal:
            return f"catching up: {storage.applied} of {goal} committed entries are applied"


def _opening(page: Page) -> str:
    """That storage has not said anything yet, which may take minutes: nobody is to take that for a lost cluster."""
    node = _load(page, Group.NODE, codec.node_group)
    is_running = node is not None and node.incarnation != 0
    is_open = page.load(Group.STORAGE) is not None or page.words(Group.NOTICE)
    return "" if is_open or not is_running else "storage is reading its log and state"
