"""``zraft status``: what every member tells of itself."""

from __future__ import annotations

import click

from zraft.cli.connection import connection_options
from zraft.cli.manual import Manual
from zraft.cli.members import Member, leader_of, members_of
from zraft.cli.outcomes import UNAVAILABLE
from zraft.cli.output import output_option, tell
from zraft.cli.tables import table
from zraft.protocol.responses import StatusResult

HEAD = (
    *("NODE", "ENDPOINT", "STATE", "TERM", "LEADER", "COMMIT", "APPLIED", "REVISION"),
    *("COMPACTED", "SNAPSHOT", "DISK", "VERSION", "NOTICE"),
)


@click.command(
    cls=Manual,
    examples=[
        "zraft status",
        "zraft status --endpoints 10.0.0.1:8080 # one node suffices to find the others",
        "zraft status --output json | jq .leader_id",
    ],
    ends=(UNAVAILABLE,),
)
@output_option(
    "leader_id, and members, each with its name (as in member list) and all fields of /status; of one that is silent, "
    "name (null: not known), endpoint and error"
)
@connection_options
def status(output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Show what each member of the cluster tells of itself.

    That is its state, its term, its leader, and how far it has come. Each node tells what it knows itself, so a node
    that is cut off may name another leader: the one of the highest term is right. COMPACTED is the oldest revision that
    can be read, SNAPSHOT the last log index that the newest snapshot contains, DISK what log, state and snapshots hold
    together; a snapshot that is received shows in NOTICE. VERSION is the cluster version, with the one that the node's
    code knows behind it where that is newer: the cluster is raised to it when every member knows it.
    """
    members = members_of(endpoints, timeout)
    document = {"members": [_document(member) for member in members], "leader_id": leader_of(members)}
    tell(output, table([HEAD, *map(_row, members)]), document)


def _document(member: Member) -> dict[str, object]:
    from zraft.actors.status import named_fields  # of the node, which runs on Linux only

    if member.status is None:
        return {"name": member.known_name, "endpoint": member.endpoint, "error": member.error}
    return {"name": member.known_name, **named_fields(member.status)}


def _row(member: Member) -> tuple[object, ...]:
    status = member.status
    if status is None:
        return (member.name, member.endpoint or "-", "silent", *["-"] * 9, member.error)
    numbers = (status.commit_index, status.last_applied, status.revision)
    history = (status.compacted_revision or "-", status.snapshot_index or "-")
    disk = _size(status.log_bytes + status.state_bytes + status.snapshots_bytes)
    role = (status.state, status.current_term, status.leader_id or "-")
    return (member.name, member.endpoint, *role, *numbers, *history, disk, _version(status), _remark(status))


def _version(status: StatusResult) -> str:
    """Of the cluster; and of the node's code, which waits for that of the others."""
    known = status.supported_version
    return f"{status.cluster_version}" if known <= status.cluster_version else f"{status.cluster_version} of {known}"


def _remark(status: StatusResult) -> str:
    """The notice, and how far the node has come with a snapshot that it receives."""
    if not status.installing_bytes:
        return status.notice
    held, total = _size(status.installing_held_bytes), _size(status.installing_bytes)
    progress = f"receives a snapshot: {held} of {total}"
    return f"{status.notice}; {progress}" if status.notice else progress


def _size(number: int) -> str:
    return f"{number / (1 << 20):.1f}MiB"
