"""``zraft leader``: which node leads."""

from __future__ import annotations

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.manual import ManualGroup
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, UNKNOWN
from zraft.cli.output import output_option, tell
from zraft.errors import NotLeader


@click.group(cls=ManualGroup)
def leader() -> None:
    """Hand the leadership over to another node.

    The leader takes all writes, and `zraft status` names it. Hand over before its machine is cut off or switched off,
    or when another one had better lead, as it is faster or nearer to the clients (for good: --priority of `zraft
    node`). Else there is no need: when a leader fails the others elect a new one.
    """


@leader.command(
    examples=[
        "zraft leader transfer",
        "zraft leader transfer node-2",
        "zraft leader transfer --from-self --endpoints 127.0.0.1:8080 # before that node is stopped",
    ],
    ends=(UNAVAILABLE, UNKNOWN, REJECTED),
)
@click.argument("name", required=False)
@click.option(
    "--from-self",
    is_flag=True,
    help="Only if the node of the first endpoint leads. Else nothing is done, and that is no error.",
)
@output_option("leader and term; null, null: nothing was done", table="`node-2 leads term 8`")
@connection_options
def transfer(name: str | None, from_self: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Have the leader hand over to the member NAME, or to any.

    Without NAME it is one that is ready. It returns when a new one leads. No request fails for it: writes are held for
    the new leader. A node that is stopped (SIGTERM) hands over by itself.
    """
    with connect(endpoints, timeout) as client:
        try:
            result = client.transfer_leadership(name, endpoint=client.endpoints[0] if from_self else None)
        except NotLeader:
            if not from_self:
                raise
            tell(output, f"{client.endpoints[0]} does not lead", {"leader": None, "term": None})
            return
    tell(output, f"{result.leader} leads term {result.term}", {"leader": result.leader, "term": result.term})
