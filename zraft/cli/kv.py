"""``zraft put``, ``zraft get`` and ``zraft delete``. Keys and values are bytes: what the shell passes, unchanged."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import click

from zraft.cli.connection import connect, connection_options, consistency_option
from zraft.cli.manual import Manual
from zraft.cli.outcomes import NOT_FOUND, REJECTED, UNAVAILABLE, UNKNOWN, Failure
from zraft.cli.output import as_json, item_document, item_head, item_row, output_option, read_in, write_out
from zraft.cli.tables import table
from zraft.client.arguments import Consistency
from zraft.protocol.client import REQUEST_BYTES_MAX, DeleteResult, KeyValue, PutResult

_expected_revision = click.option(
    "--expected-revision",
    type=click.IntRange(min=0),
    metavar="REVISION",
    help="Only if this is the key's mod revision; 0: only if there is no such key.",
)
_change_output = output_option("revision and index", table="`revision 7`", raw="`7`")
_write_ends = (NOT_FOUND, UNAVAILABLE, UNKNOWN, REJECTED)


@click.command(
    cls=Manual,
    examples=[
        "zraft put config/rate 100",
        "zraft put certificate --file tls.pem",
        "date | zraft put last-run # the value from stdin",
        "zraft put lock/deploy me --expected-revision 0 # only if there is none",
        "zraft put -- -key -value",
    ],
    ends=_write_ends,
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", type=click.File("rb"), help="Read the value from this file; -: from stdin.")
@_expected_revision
@_change_output
@connection_options
def put(
    key: str,
    value: str | None,
    file: BinaryIO | None,
    expected_revision: int | None,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Set KEY to VALUE and print the revision of the change.

    Without VALUE and --file the value is read from stdin. What begins with a dash goes behind `--`.
    """
    if value is not None and file is not None:
        raise click.UsageError("give the value as an argument or with --file, not both")
    # One byte more than can be right is enough to see that it is too much.
    content = os.fsencode(value) if value is not None else read_in(file or sys.stdin.buffer, REQUEST_BYTES_MAX + 1)
    with connect(endpoints, timeout) as client:
        result = client.put(os.fsencode(key), content, expected_revision=expected_revision)
    click.echo(_change(result, output))


@click.command(
    cls=Manual,
    examples=[
        "zraft get config/rate",
        "zraft get certificate > tls.pem",
        "zraft get config/rate --output json # with its revisions",
        "zraft get config/rate --revision 12 # as it was then",
        "zraft get config/rate --consistency serializable --endpoints 127.0.0.1:8082",
    ],
    ends=(NOT_FOUND, UNAVAILABLE, REJECTED),
)
@click.argument("key")
@consistency_option
@click.option("--revision", type=click.IntRange(min=0), default=0, metavar="N", help="The key as it was then. 0: now.")
@output_option(
    "key, value, create_revision, mod_revision, version and revision (that of the store)",
    raw="the value alone",
    default="raw",
)
@connection_options
def get(
    key: str,
    consistency: Consistency,
    revision: int,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Write the value of KEY to stdout, as it is and nothing else; on a terminal it ends a line."""
    with connect(endpoints, timeout) as client:
        result = client.get(os.fsencode(key), consistency=consistency, revision=revision)
    if not result.found:
        raise _not_found(key)
    revisions = (result.create_revision, result.mod_revision, result.version)
    item = KeyValue(os.fsencode(key), result.value or b"", *revisions)
    match output:
        case "raw":
            write_out((item.value, b"\n") if sys.stdout.isatty() else (item.value,))
        case "table":
            write_out((f"{table([item_head(), item_row(item)])}\n".encode(),))
        case _:
            write_out((f"{as_json(item_document(item) | {'revision': result.revision})}\n".encode(),))


@click.command(
    cls=Manual,
    examples=[
        "zraft delete config/rate",
        "zraft delete lock/deploy --expected-revision 12 # only if it is still mine",
    ],
    ends=_write_ends,
)
@click.argument("key")
@_expected_revision
@_change_output
@connection_options
def delete(
    key: str, expected_revision: int | None, output: str, endpoints: tuple[str, ...] | None, timeout: float
) -> None:
    """Remove KEY and print the revision of the change."""
    with connect(endpoints, timeout) as client:
        result = client.delete(os.fsencode(key), expected_revision=expected_revision)
    if not result.found:
        raise _not_found(key)
    click.echo(_change(result, output))


def _change(result: PutResult | DeleteResult, output: str) -> str:
    match output:
        case "table":
            return f"revision {result.revision}"
        case "raw":
            return str(result.revision)
    return as_json({"revision": result.revision, "index": result.index})


def _not_found(key: str) -> Failure:
    return Failure(f"key not found: {key!r}", NOT_FOUND)
