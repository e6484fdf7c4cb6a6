"""``zraft repair``: what an operator may do to the data of a node that is down."""

from __future__ import annotations

import contextlib
import secrets
from datetime import UTC, datetime
from pathlib import Path

import click

from zraft.cli.manual import Manual
from zraft.cli.offline import data_directory_argument, locked, progress_bar
from zraft.cli.outcomes import MACHINE, REJECTED, UNAVAILABLE, Failure
from zraft.core.restarts import sync_failure_reason
from zraft.errors import DataDirectoryInUse, IdentityRefused, StorageFault
from zraft.store.check import check
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.environment import MAP_BYTES
from zraft.store.fault import acknowledge_sync_failure, pending_divergence, pending_sync_failure, recorded_sync_failure
from zraft.store.repair import force_new_cluster, perform, plan

_FORCING = (
    "This makes a new cluster of this one member, with all that is in its log. Nobody can know from here what is "
    "missing in it: writes that were acknowledged by a majority of other members may be lost, and writes that were "
    "never acknowledged may be in it. Stop all other members of the old cluster for good first: they could go on "
    "beside it, as another cluster."
)


@click.command(
    cls=Manual,
    examples=[
        "zraft repair /var/lib/zraft # finds what is damaged, tells what would be lost, asks",
        "zraft repair /var/lib/zraft --acknowledge-fsync-failure # the disk was looked at",
        "zraft repair /var/lib/zraft --force-new-cluster # a majority is lost for ever, and this is what is left",
    ],
    ends=(
        UNAVAILABLE,
        REJECTED,
        MACHINE,
        DataDirectoryInUse.exit_code,
        IdentityRefused.exit_code,
        StorageFault.exit_code,
    ),
)
@data_directory_argument
@click.option(
    "--acknowledge-fsync-failure",
    is_flag=True,
    help="Let a node start again whose disk failed to make the log durable: an operator has looked at the disk.",
)
@click.option("--force-new-cluster", is_flag=True, help="Make this node's data the beginning of a new cluster of one.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def repair(data_dir: Path, acknowledge_fsync_failure: bool, force_new_cluster: bool, yes: bool) -> None:
    """Repair the data in DATA_DIR, of a node that is down. Old files are kept in it, as damaged-TIME.

    Without an option: checks everything, and ends with 5 if a failed commit of the log waits to be acknowledged. A
    damaged state or snapshot is set aside and made anew when the node starts. So is a state that is not what a majority
    of the members has, for which its node stopped, if the log is whole. With a damaged log the whole data is set aside:
    a node that lost a part of its log has lost what the others count on, and never comes back as the member that it
    was.
    """
    if acknowledge_fsync_failure and force_new_cluster:
        raise click.UsageError("one thing at a time: first acknowledge the failure, then force a new cluster")
    # What failed is told of a log that may be gone, or have been set aside.
    with locked(data_dir, needs_data=not acknowledge_fsync_failure) as directory:
        if acknowledge_fsync_failure:
            _acknowledge(directory)
        elif force_new_cluster:
            _force(directory, yes)
        else:
            _repair(directory, yes)


def _acknowledge(directory: DataDirectory) -> None:
    runtime = runtime_directory(directory.path)
    try:
        failure = pending_sync_failure(directory, runtime)
        acknowledge_sync_failure(directory, runtime)
    finally:
        with contextlib.suppress(OSError):  # not empty: something else is in it
            runtime.rmdir()
    click.echo(f"acknowledged: {failure}" if failure else "there was no failure to acknowledge")


def _repair(directory: DataDirectory, yes: bool) -> None:
    with progress_bar() as progress:
        proposed = plan(directory, check(directory, progress))
    if proposed is None:
        if failure := recorded_sync_failure(directory):
            raise Failure(f"nothing is damaged. But {sync_failure_reason(failure)}", REJECTED)
        click.echo("nothing is damaged")
        return
    click.echo(f"zraft: {proposed.explains}", err=True)
    if proposed.loses:
        click.echo(f"zraft: what would be lost: {proposed.loses}", err=True)
        _ask("Set the data aside?", yes)
    click.echo(f"set aside in {perform(directory, proposed, datetime.now(UTC))}")


def _force(directory: DataDirectory, yes: bool) -> None:
    diverged = pending_divergence(directory)
    if diverged is not None:
        click.echo(f"zraft: {diverged}. A new cluster would have what this node has.", err=True)
    click.echo(f"zraft: {_FORCING}", err=True)
    _ask("Make a new cluster of this member?", yes)
    aside, last, revision = force_new_cluster(directory, secrets.randbits(64) or 1, MAP_BYTES, datetime.now(UTC))
    click.echo(f"a new cluster, with entry {last} and revision {revision}; the old files are in {aside}")
    click.echo("start the node without --peers, or with itself as the only one")


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise  # Ctrl-C
        click.echo(err=True)  # behind the question
        raise Failure("nothing was done: answer y, or give --yes", UNAVAILABLE) from None
    if not agreed:
        raise Failure("nothing was done", UNAVAILABLE)
