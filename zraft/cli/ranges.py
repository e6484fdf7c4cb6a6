"""``zraft range``: keys in order."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator

import click

from zraft.cli.connection import connect, connection_options, consistency_option
from zraft.cli.manual import Manual
from zraft.cli.numbers import WholeRange, revisions
from zraft.cli.outcomes import REJECTED, UNAVAILABLE
from zraft.cli.output import item_document, item_head, item_row, output_option, write_out
from zraft.cli.tables import table
from zraft.client.arguments import Consistency
from zraft.protocol.responses import KeyValue

TABLE_ROWS = 1_000
"""A table's columns are measured for so many rows at a time, so that a long one needs no memory."""


@click.command(
    "range",
    cls=Manual,
    examples=[
        "zraft range --prefix config/",
        "zraft range a b # keys from a on, before b",
        "zraft range --prefix user/ --keys-only --output raw | wc -l",
        "zraft range --limit 10 --output json",
        "zraft range --prefix config/ --revision 12 # as it was then",
    ],
    ends=(UNAVAILABLE, REJECTED),
)
@click.argument("start", default="")
@click.argument("end", required=False)
@click.option("--prefix", default="", help="Only keys that begin with this.")
@click.option("--limit", type=WholeRange(min=0), default=0, metavar="N", help="How many at most. 0: all.")
@click.option("--keys-only", is_flag=True, help="Without the values.")
@click.option("--revision", type=revisions(), default=0, metavar="N", help="All as it was at this revision. 0: now.")
@consistency_option
@output_option(
    "an array of key, value, create_revision, mod_revision and version",
    raw="lines of key, tab and value, as they are",
)
@connection_options
def range_of_keys(
    start: str,
    end: str | None,
    prefix: str,
    limit: int,
    keys_only: bool,
    revision: int,
    consistency: Consistency,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """List keys and values, in the order of the keys' bytes.

    They are those from START on, before END; without both, all of them. It is one consistent view, however long it is,
    and is printed as it comes.
    """
    with connect(endpoints, timeout) as client:
        items = client.range(
            os.fsencode(start),
            None if end is None else os.fsencode(end),
            prefix=os.fsencode(prefix),
            limit=limit,
            consistency=consistency,
            revision=revision,
            keys_only=keys_only,
        )
        # The first answer comes before any output: a command that fails prints nothing.
        first = list(itertools.islice(items, 1))
        write_out(line + b"\n" for line in _FORMATS[output](itertools.chain(first, items), keys_only))


def _table(items: Iterator[KeyValue], keys_only: bool) -> Iterator[bytes]:
    rows: list[tuple[object, ...]] = [item_head(keys_only)]
    while rows:
        rows += [item_row(item, keys_only) for item in itertools.islice(items, TABLE_ROWS)]
        yield table(rows).encode()
        rows = [item_row(item, keys_only) for item in itertools.islice(items, 1)]


def _json(items: Iterator[KeyValue], keys_only: bool) -> Iterator[bytes]:
    line = ""
    yield b"["
    for item in items:
        if line:
            yield f"  {line},".encode()
        line = json.dumps(item_document(item, keys_only), ensure_ascii=False)
    if line:
        yield f"  {line}".encode()
    yield b"]"


def _raw(items: Iterator[KeyValue], keys_only: bool) -> Iterator[bytes]:
    for item in items:
        yield item.key if keys_only else item.key + b"\t" + item.value


_FORMATS: dict[str, Callable[[Iterator[KeyValue], bool], Iterator[bytes]]] = {
    "table": _table,
    "json": _json,
    "raw": _raw,
}
