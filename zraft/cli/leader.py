"""``zraft leader``: who leads."""

from __future__ import annotations

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.manual import ManualGroup
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, UNKNOWN
from zraft.cli.output import as_json, output_option


@click.group(cls=ManualGroup)
def leader() -> None:
    """Who leads the cluster."""


@leader.command(
    examples=["zraft leader transfer", "zraft leader transfer node-2"],
    ends=(UNAVAILABLE, UNKNOWN, REJECTED),
)
@click.argument("name", required=False)
@output_option("text", "json", text="text: `node-2 leads term 8`; json: leader and term.")
@connection_options
def transfer(name: str | None, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Have the leader hand over to the member NAME, or to any that is ready; returns when a new one leads.

    No request fails for it: writes are held for the new leader. A node that is stopped (SIGTERM) hands over by itself.
    """
    with connect(endpoints, timeout) as client:
        result = client.transfer_leadership(name)
    if output == "text":
        click.echo(f"{result.leader} leads term {result.term}")
    else:
        click.echo(as_json({"leader": result.leader, "term": result.term}))
