"""``zraft check``: whether the data of a node that is down is what it wrote."""

from __future__ import annotations

from pathlib import Path

import click

from zraft.cli.manual import Manual
from zraft.cli.offline import data_directory_argument, locked, progress_bar
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, Failure
from zraft.cli.output import output_option, tell
from zraft.cli.tables import table
from zraft.core.restarts import sync_failure_reason
from zraft.errors import DataDirectoryInUse, IdentityRefused, StorageFault
from zraft.store.check import Findings, check as check_data
from zraft.store.dirty import Mark
from zraft.store.fault import recorded_sync_failure


@click.command(
    cls=Manual,
    examples=["zraft check /var/lib/zraft", "zraft check /var/lib/zraft --output json"],
    ends=(UNAVAILABLE, REJECTED, DataDirectoryInUse.exit_code, IdentityRefused.exit_code, StorageFault.exit_code),
)
@data_directory_argument
@output_option(
    "log_base, log_last, log_last_term, generation, applied, revision, dirty_mark, snapshots (their indexes), damages"
)
def check(data_dir: Path, output: str) -> None:
    """Verify the data in DATA_DIR, of a node that is down.

    That is all checksums: of the log, the state and the snapshots. Ends with 5 on damage, each named on stderr with its
    file and index, and with what to do; and if a failed commit of the log waits to be acknowledged. Nothing is changed.
    """
    with locked(data_dir) as directory, progress_bar() as progress:
        found = check_data(directory, progress)
    tell(output, table(_rows(found)), _document(found))
    for damage in found.damages:
        click.echo(f"zraft: {damage.what}", err=True)
    failure = recorded_sync_failure(directory)
    if failure and found.damages:
        click.echo(f"zraft: {sync_failure_reason(failure)}", err=True)
    if found.damages:
        raise Failure(f"damaged. What can be done, and what would be lost, says: zraft repair {data_dir}", REJECTED)
    if failure:
        raise Failure(sync_failure_reason(failure), REJECTED)


def _rows(found: Findings) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("PART", "HOLDS")]
    if found.last is not None:
        rows.append(("log", f"entries behind {found.base} up to {found.last}"))
    if found.applied is not None:
        held = f"generation {found.generation}, applied {found.applied}, revision {found.revision}"
        rows.append(("state", held))
    elif found.mark is Mark.MISMATCH:
        why = "the last stop was not clean and the machine restarted"
        rows.append(("state", f"to be rebuilt at the next start, as {why}"))
    rows += [
        ("snapshot", f"{path.name}, {manifest.last}, {manifest.state_bytes} bytes")
        for path, manifest in found.snapshots
    ]
    return [*rows, ("damages", len(found.damages))]


def _document(found: Findings) -> dict[str, object]:
    return {
        "log_base": found.base.index if found.base else None,
        "log_last": found.last.index if found.last else None,
        "log_last_term": found.last.term if found.last else None,
        "generation": found.generation,
        "applied": found.applied.index if found.applied else None,
        "revision": found.revision,
        "dirty_mark": found.mark.value,
        "snapshots": [manifest.index for _, manifest in found.snapshots],
        "damages": [damage.what for damage in found.damages],
    }
