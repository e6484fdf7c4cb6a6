"""``zraft compact``: drop old revisions."""

from __future__ import annotations

import time

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.manual import Manual
from zraft.cli.numbers import revisions
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, UNKNOWN
from zraft.cli.output import output_option, tell
from zraft.cli.progress import progress_line
from zraft.client import Client
from zraft.errors import Compacted, Unknown
from zraft.protocol.responses import CompactResult

POLL_S = 0.5
"""How often a node is asked how far it is, while the leader sweeps by itself."""


@click.command(
    cls=Manual,
    examples=["zraft compact 12000", "zraft compact 12000 --physical # and wait until the room is free again"],
    ends=(UNAVAILABLE, UNKNOWN, REJECTED),
)
@click.argument("revision", type=revisions(1))
@click.option("--physical", is_flag=True, help="Return when what the history held has been removed.")
@output_option("revision, index, compacted and swept", table="`compacted up to revision 12000`")
@connection_options
def compact(revision: int, physical: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Drop the history before REVISION.

    It can't be read from then on; REVISION itself still can. Nodes do this by themselves (--retain-revisions and
    --retain-seconds of `zraft node`). The leader's node then removes what the history held, at most 5,000 records a
    second unless there is a hurry, and the room is used again; no command has to wait for it. One that waits
    (--physical) may be stopped and repeated at any time. Where the leader puts it off, as writes come fast, that
    command has it done.
    """
    with connect(endpoints, timeout) as client:
        try:
            result = client.compact(revision)
        except Compacted:
            if not physical:
                raise
            result = _resumed(client, revision)  # it goes on with the wait of an earlier command
        if physical and result.swept < revision:
            result = _swept(client, revision, result.swept)
    facts = {"compacted": result.compacted, "swept": result.swept}
    text = f"compacted up to revision {revision}"
    tell(output, text, {"revision": result.revision, "index": result.index} | facts)


def _swept(client: Client, revision: int, swept: int) -> CompactResult:
    """Waits until all below the revision is removed, while it is so up to ``swept``.

    What a node's state says of it was committed and stays true, whoever leads, so any node may be asked. If nothing
    comes of waiting (the leader puts it off, or the node is of 0.1.0 and does not tell) some is removed by requests.
    """
    began = time.monotonic()
    with progress_line() as progress:
        while swept < revision:
            progress(time.monotonic() - began, f"removed up to revision {swept:,} of {revision:,}")
            time.sleep(POLL_S)
            told = client.status().swept_revision
            until = time.monotonic() + (POLL_S if told <= swept else 0.0)
            swept = max(swept, told)
            while swept < revision and time.monotonic() < until:
                swept = _resumed(client, revision).swept
    return _resumed(client, revision)


def _resumed(client: Client, revision: int) -> CompactResult:
    """Has some more removed. To ask twice does no harm, so it is asked again when nobody knows of the first time."""
    try:
        return client.compact(revision, resume=True)
    except Unknown:
        return client.compact(revision, resume=True)
