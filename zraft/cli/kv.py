"""``zraft put``, ``zraft get`` and ``zraft delete``. Keys and values are bytes: what the shell passes, unchanged."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import click

from zraft.cli.connection import connect, connection_options, consistency_option
from zraft.cli.manual import Manual
from zraft.cli.numbers import revisions
from zraft.cli.outcomes import NOT_FOUND, REJECTED, UNAVAILABLE, UNKNOWN, Failure
from zraft.cli.output import item_document, item_head, item_row, output_option, read_in, tell, write_out
from zraft.cli.tables import table
from zraft.client.arguments import Consistency
from zraft.protocol.requests import REQUEST_BYTES_MAX
from zraft.protocol.responses import DeleteResult, KeyValue, PutResult

_expected_revision = click.option(
    "--expected-revision",
    type=revisions(),
    metavar="REVISION",
    help="Only if this is the key's mod revision; 0: only if there is no such key.",
)
_return_previous = click.option("--return-previous", is_flag=True, help="Print what was there before, too.")
_change_output = output_option(
    "revision and index; with --return-previous also previous, an object as range prints them, or null",
    table="`revision 7`; with --return-previous also the previous value with its revisions",
    raw="`7`; with --return-previous that value alone, and nothing if there was none",
)
_write_ends = (NOT_FOUND, UNAVAILABLE, UNKNOWN, REJECTED)


@click.command(
    cls=Manual,
    examples=[
        "zraft put config/rate 100",
        "zraft put certificate --file tls.pem",
        "date | zraft put last-run # the value from stdin",
        "zraft put lock/deploy me --expected-revision 0 # only if there is none",
        "zraft put config/rate 200 --return-previous # and print what it was",
        "zraft put -- -key -value",
    ],
    ends=_write_ends,
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", type=click.File("rb"), help="Read the value from this file; -: from stdin.")
@_expected_revision
@_return_previous
@_change_output
@connection_options
def put(
    key: str,
    value: str | None,
    file: BinaryIO | None,
    expected_revision: int | None,
    return_previous: bool,
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
        result = client.put(
            os.fsencode(key), content, expected_revision=expected_revision, return_previous=return_previous
        )
    _tell(result, return_previous, output)


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
@click.option("--revision", type=revisions(), default=0, metavar="N", help="The key as it was then. 0: now.")
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
    """Write the value of KEY to stdout, and nothing else.

    It is written as it is; on a terminal it ends a line.
    """
    with connect(endpoints, timeout) as client:
        result = client.get(os.fsencode(key), consistency=consistency, revision=revision)
    if not result.found:
        raise _not_found(key)
    item = KeyValue(os.fsencode(key), result.value or b"", result.create_revision, result.mod_revision, result.version)
    if output == "raw":
        _write_value(item)
    else:
        tell(output, _table(item), item_document(item) | {"revision": result.revision})


@click.command(
    cls=Manual,
    examples=[
        "zraft delete config/rate",
        "zraft delete lock/deploy --expected-revision 12 # only if it is still mine",
        "zraft delete config/rate --return-previous --output raw > rate # as it was",
    ],
    ends=_write_ends,
)
@click.argument("key")
@_expected_revision
@_return_previous
@_change_output
@connection_options
def delete(
    key: str,
    expected_revision: int | None,
    return_previous: bool,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Remove KEY and print the revision of the change."""
    with connect(endpoints, timeout) as client:
        result = client.delete(os.fsencode(key), expected_revision=expected_revision, return_previous=return_previous)
    if not result.found:
        raise _not_found(key)
    _tell(result, return_previous, output)


def _tell(result: PutResult | DeleteResult, return_previous: bool, output: str) -> None:
    """The revision of a change, and what was there before, if that was asked for: a put may have had nothing before."""
    previous = result.previous
    text = f"revision {result.revision}"
    document: dict[str, object] = {"revision": result.revision, "index": result.index}
    if not return_previous:
        tell(output, str(result.revision) if output == "raw" else text, document)
    elif output != "raw":
        before = _table(previous) if previous else "there was no such key before"
        tell(output, f"{text}\n{before}", document | {"previous": item_document(previous) if previous else None})
    elif previous:
        _write_value(previous)


def _write_value(item: KeyValue) -> None:
    """The value as it is; on a terminal it ends a line."""
    write_out((item.value, b"\n") if sys.stdout.isatty() else (item.value,))


def _table(item: KeyValue) -> str:
    return table([item_head(), item_row(item)])


def _not_found(key: str) -> Failure:
    return Failure(f"key not found: {key!r}", NOT_FOUND)
