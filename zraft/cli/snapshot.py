"""``zraft snapshot``: backups, and new clusters made of them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from zraft.cli.connection import connect, endpoints_option, timeout_option
from zraft.cli.manual import ManualGroup
from zraft.cli.node import settings_of
from zraft.cli.numbers import WholeRange
from zraft.cli.offline import progress_bar
from zraft.cli.outcomes import MACHINE, REJECTED, UNAVAILABLE
from zraft.cli.output import output_option, require_directory_of, tell
from zraft.cli.tables import table
from zraft.client.client import TIMEOUT_S
from zraft.config import BOUNDS, Settings, is_address, split_address
from zraft.errors import DataDirectoryInUse, IdentityRefused, StorageFault
from zraft.store.manifest import Manifest
from zraft.store.restore import BUMP_MAX, restore as restore_state
from zraft.store.soundness import verify_contents

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_existing_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_output = output_option("revision, index, term, state_bytes, cluster_id, created and checksum")


@click.group(cls=ManualGroup)
def snapshot() -> None:
    """Backups of a running cluster, and new clusters made of them.

    A snapshot is one file with the whole store of one moment, and checksums of all of it. Each of the commands
    verifies every byte, and ends with 5 on damage.
    """


@snapshot.command(
    examples=[
        "zraft snapshot save backup.snapshot # from the first node that answers",
        "zraft snapshot save /backup/zraft.snapshot --endpoints 10.0.0.2:8080",
    ],
    ends=(UNAVAILABLE, REJECTED, MACHINE),
)
@_file
@_output
@endpoints_option
@timeout_option(TIMEOUT_S, "How long to try for each MiB, repetitions included.")
def save(file: Path, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Save a snapshot of a running node in FILE, while it serves.

    The file gets its name only when it is whole, verified and on the disk.
    """
    require_directory_of(file)
    with connect(endpoints, timeout) as client, _bar("saving") as progress:
        manifest = client.snapshot(file, progress=progress)
    _tell(manifest, output)


@snapshot.command(
    examples=["zraft snapshot status backup.snapshot", "zraft snapshot status backup.snapshot --output json"],
    ends=(REJECTED, MACHINE, IdentityRefused.exit_code, StorageFault.exit_code),
)
@_existing_file
@_output
def status(file: Path, output: str) -> None:
    """Verify FILE, and say what it holds.

    That is all checksums, and the store in it as a node would verify it.
    """
    with _bar("verifying") as progress:
        manifest = verify_contents(file, progress)
    _tell(manifest, output)


@snapshot.command(
    examples=[
        "zraft snapshot restore backup.snapshot --id node-1 --data-dir restored/node-1",
        "zraft snapshot restore backup.snapshot --id node-1 --data-dir /var/lib/zraft "
        "--peers node-1=10.0.0.1:7080,node-2=10.0.0.2:7080,node-3=10.0.0.3:7080 --bump-revision 1000000",
    ],
    ends=(REJECTED, MACHINE, DataDirectoryInUse.exit_code, IdentityRefused.exit_code, StorageFault.exit_code),
)
@_existing_file
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), required=True, help="An empty directory.")
@click.option("--id", "name", required=True, metavar="NAME", help="Name of the node.")
@click.option(
    "--peers",
    default="",
    metavar="NAME=HOST:PORT,...",
    help="The members of the new cluster, as for `zraft node`. [default: the node is alone]",
)
@click.option(
    "--bump-revision",
    type=WholeRange(0, BUMP_MAX),
    default=0,
    show_default=True,
    metavar="N",
    help="Add so much to the store's revision, so that caches made from the lost cluster notice.",
)
@click.option(
    "--map-size-gib",
    type=WholeRange(*BOUNDS["map_size_gib"]),
    default=Settings().map_size_gib,
    show_default=True,
    help="As for `zraft node`.",
)
@output_option("revision, and command: how to start the node", table="the same in words")
def restore(
    file: Path, data_dir: Path, name: str, peers: str, bump_revision: int, map_size_gib: int, output: str
) -> None:
    """Make the data directory of a node of a new cluster.

    It begins with the state in FILE. Run it for each node, with the same FILE and the same --bump-revision, and start
    all of them: they form a cluster with an id of its own. Nodes restored from another file, or without one, and
    members of the old cluster are refused. Give --bump-revision more than the number of writes that may be younger than
    FILE.
    """
    given = {"id": name, "data_dir": str(data_dir), "peers": peers or None}
    settings = settings_of(None, given)
    with _bar("restoring") as progress:
        manifest = restore_state(
            file, data_dir, secrets.randbits(64) or 1, map_size_gib << 30, bump=bump_revision, progress=progress
        )
    revision = manifest.revision + bump_revision
    command = f"zraft node --id {settings.id} --data-dir {data_dir}{_among(settings, peers)}"
    text = f"restored revision {revision}; start it, with its other settings, by:\n{command}"
    tell(output, text, {"revision": revision, "command": command})


def _among(settings: Settings, peers: str) -> str:
    """The flags of a node that is one of several: it must listen where the others look for it."""
    if not peers:
        return ""
    host, port = split_address(settings.peers[settings.id]) if settings.id in settings.peers else ("", 0)
    if not is_address(host):  # a name is not what one listens on
        host = "ADDRESS"
    listens = "" if host == settings.host else f" --host {host}"
    return listens + (f" --peer-port {port}" if port not in (0, settings.peer_port) else "") + f" --peers {peers}"


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bar() as progress:
        yield lambda done, whole: progress(what, done, whole)


def _tell(manifest: Manifest, output: str) -> None:
    cluster = manifest.record.cluster_id().hex() if manifest.record else ""
    facts: dict[str, object] = {
        "revision": manifest.revision,
        "index": manifest.index,
        "term": manifest.term,
        "state_bytes": manifest.state_bytes,
        "cluster_id": cluster,
        "created": datetime.fromtimestamp(manifest.created, UTC).isoformat(timespec="seconds"),
        "checksum": manifest.checksum().hex(),
    }
    tell(output, table([(name.replace("_", " ").upper(), value) for name, value in facts.items()]), facts)
