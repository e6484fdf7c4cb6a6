"""``zraft put``, ``zraft get`` and ``zraft delete``. Keys and values are bytes: what the shell passes, unchanged."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.outcomes import NOT_FOUND, Failure
from zraft.client.arguments import Consistency
from zraft.protocol.client import REQUEST_BYTES_MAX

_expected_revision = click.option(
    "--expected-revision",
    type=click.IntRange(min=0),
    metavar="REVISION",
    help="Only if this is the key's mod revision; 0: only if there is no such key.",
)


@click.command()
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", type=click.File("rb"), help="Read the value from this file; -: from stdin.")
@_expected_revision
@connection_options
def put(
    key: str,
    value: str | None,
    file: BinaryIO | None,
    expected_revision: int | None,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Set KEY to VALUE and print the revision of the change.

    Without VALUE and --file the value is read from stdin. What begins with a dash goes behind `--`.
    """
    if value is not None and file is not None:
        raise click.UsageError("give the value as an argument or with --file, not both")
    # One byte more than can be right is enough to see that it is too much.
    content = os.fsencode(value) if value is not None else (file or sys.stdin.buffer).read(REQUEST_BYTES_MAX + 1)
    with connect(endpoints, timeout) as client:
        result = client.put(os.fsencode(key), content, expected_revision=expected_revision)
    click.echo(f"revision {result.revision}")


@click.command()
@click.argument("key")
@click.option(
    "--consistency",
    type=click.Choice(["linearizable", "serializable"]),
    default="linearizable",
    show_default=True,
    help="linearizable sees every acknowledged write; serializable is what the first node that answers has.",
)
@connection_options
def get(key: str, consistency: Consistency, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Write the value of KEY to stdout, as it is and nothing else."""
    with connect(endpoints, timeout) as client:
        result = client.get(os.fsencode(key), consistency=consistency)
    if not result.found:
        raise _not_found(key)
    click.echo(result.value, nl=False)


@click.command()
@click.argument("key")
@_expected_revision
@connection_options
def delete(key: str, expected_revision: int | None, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Remove KEY and print the revision of the change."""
    with connect(endpoints, timeout) as client:
        result = client.delete(os.fsencode(key), expected_revision=expected_revision)
    if not result.found:
        raise _not_found(key)
    click.echo(f"revision {result.revision}")


def _not_found(key: str) -> Failure:
    return Failure(f"key not found: {key!r}", NOT_FOUND)
