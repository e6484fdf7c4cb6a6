"""``zraft compact``: drop old revisions."""

from __future__ import annotations

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.manual import Manual
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, UNKNOWN
from zraft.cli.output import output_option, tell
from zraft.errors import Compacted


@click.command(
    cls=Manual,
    examples=["zraft compact 12000", "zraft compact 12000 --physical # and wait until the room is free again"],
    ends=(UNAVAILABLE, UNKNOWN, REJECTED),
)
@click.argument("revision", type=click.IntRange(min=1))
@click.option(
    "--physical", is_flag=True, help="Return when what the history held has been removed, by 256 records a request."
)
@output_option("revision, index, compacted and swept", table="`compacted up to revision 12000`")
@connection_options
def compact(revision: int, physical: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Drop the history before REVISION.

    It can't be read from then on; REVISION itself still can. Nodes do this by themselves (--retain-revisions and
    --retain-seconds of `zraft node`). The leader's node then removes what the history held, and the room is used again;
    no command has to wait for it.
    """
    with connect(endpoints, timeout) as client:
        try:
            result = client.compact(revision)
        except Compacted:
            if not physical:
                raise
            result = client.compact(revision, resume=True)  # it goes on with the wait of an earlier command
        while physical and result.swept < revision:
            result = client.compact(revision, resume=True)
    facts = {"compacted": result.compacted, "swept": result.swept}
    text = f"compacted up to revision {revision}"
    tell(output, text, {"revision": result.revision, "index": result.index} | facts)
