"""``zraft status``: what every member tells of itself."""

from __future__ import annotations

import click

from zraft.cli.connection import connection_options
from zraft.cli.manual import Manual
from zraft.cli.members import Member, leader_of, members_of
from zraft.cli.outcomes import UNAVAILABLE
from zraft.cli.output import as_json, output_option
from zraft.cli.tables import table

HEAD = ("NODE", "ENDPOINT", "STATE", "TERM", "LEADER", "COMMIT", "APPLIED", "REVISION", "NOTICE")


@click.command(
    cls=Manual,
    examples=[
        "zraft status",
        "zraft status --endpoints 10.0.0.1:8080 # one node suffices to find the others",
        "zraft status --output json | jq .leader_id",
    ],
    ends=(UNAVAILABLE,),
)
@output_option("table", "json", text="table: for people; json: all that each node tells.")
@connection_options
def status(output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Show all members of the cluster: state, term, leader, and how far each has come.

    Each node tells what it knows itself, so a node that is cut off may name another leader: the one of the highest
    term is right.
    """
    members = members_of(endpoints, timeout)
    if output == "json":
        click.echo(as_json({"members": [_document(member) for member in members], "leader_id": leader_of(members)}))
    else:
        click.echo(table([HEAD, *map(_row, members)]))


def _document(member: Member) -> dict[str, object]:
    from zraft.actors.status import named_fields  # of the node, which runs on Linux only

    return named_fields(member.status) if member.status else {"endpoint": member.endpoint, "error": member.error}


def _row(member: Member) -> tuple[object, ...]:
    status = member.status
    if status is None:
        return (member.name, member.endpoint or "-", "silent", *["-"] * 5, member.error)
    numbers = (status.commit_index, status.last_applied, status.revision)
    leader = status.leader_id or "-"
    return (member.name, member.endpoint, status.state, status.current_term, leader, *numbers, status.notice)
