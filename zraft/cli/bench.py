"""``zraft bench``: load on a cluster, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zraft.bench import Figures, Load, measure
from zraft.cli.connection import connection_options, consistency_option, known_endpoints
from zraft.cli.manual import Manual
from zraft.cli.numbers import NumberRange, WholeRange
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, Failure
from zraft.cli.output import output_option, tell
from zraft.cli.progress import progress_line
from zraft.cli.tables import table
from zraft.config import Settings
from zraft.protocol.requests import BATCH_OPERATIONS_MAX, REQUEST_BYTES_MAX

CLIENTS_MAX = 64
PIPELINE_MAX = Settings().client_requests_max
"""More are refused by a node with this setting's default, and sent again: what is measured then is refusals."""
HEAD = ("OPERATIONS/S", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS", "OPERATIONS", "ERRORS", "NOT FOUND", "TERMS")

F = TypeVar("F", bound=Callable[..., Any])


def _number(flag: str, kind: click.ParamType[Any], default: float, text: str) -> Callable[[F], F]:
    return click.option(flag, type=kind, default=default, show_default=True, metavar="N", help=text)


@click.command(
    cls=Manual,
    examples=[
        "zraft bench # single puts, 256 outstanding",
        "zraft bench --clients 1 --pipeline 1 # one caller: the latency of a lone put",
        "zraft bench --pipeline 8 --batch 100 # puts in batches of 100",
        "zraft bench --read-ratio 1 --fill --clients 3 # linearizable gets of keys that exist",
        "zraft bench --read-ratio 0.9 --seconds 60 --output json",
    ],
    ends=(UNAVAILABLE, REJECTED),
)
@_number("--clients", WholeRange(1, CLIENTS_MAX), 2, "Connections, a process each.")
@_number(
    "--pipeline",
    WholeRange(1, PIPELINE_MAX),
    128,
    "Requests outstanding on each; a node takes no more of one.",
)
@_number("--batch", WholeRange(1, BATCH_OPERATIONS_MAX), 1, "Operations in each request.")
@_number("--value-size", WholeRange(0, REQUEST_BYTES_MAX), 256, "Bytes of each value.")
@_number("--keys", WholeRange(1, 10**10), 100_000, "Different keys, drawn at random.")
@_number("--read-ratio", NumberRange(0, 1), 0.0, "Share of the requests that are reads.")
@consistency_option
@_number("--seconds", NumberRange(0.1, 86_400), 10.0, "How long to begin requests.")
@click.option("--fill", is_flag=True, help="First write each key once; not measured.")
@click.option("--spread", is_flag=True, help="Connections stay with one node each, in turn, and repeat nothing.")
@_number("--large-every", WholeRange(0), 0, "After so many requests a batch of 10,000. 0: none.")
@click.option("--quiet", is_flag=True, help="Tell no progress on stderr.")
@output_option(
    "settings, operations_per_second, latency_ms, operations, errors, not_found, elapsed_seconds, longest_stall_ms, "
    "client_cpu_seconds and terms"
)
@connection_options
def bench(quiet: bool, output: str, endpoints: tuple[str, ...] | None, **settings: Any) -> None:
    """Put load on a cluster and measure it.

    Each request that ends is followed by the next one (a closed loop). It writes keys that begin with bench/ and leaves
    them there. As any client does, it sends what needs the leader straight to it, and repeats what was certainly not
    executed; the latency of a request has all of that in it. What is answered after the time-out is an error, as it is
    for any caller.
    """
    load = Load(endpoints=known_endpoints(endpoints), **settings)
    if quiet:
        figures = measure(load, None)
    else:
        with progress_line() as progress:
            figures = measure(load, lambda seconds, *counts: progress(seconds, _so_far(seconds, *counts)))
    tell(output, table([HEAD, row(figures)]), figures.document())
    if not figures.tally.operations:
        raise Failure("not one operation succeeded: see which nodes are up with `zraft status`", UNAVAILABLE)


def row(figures: Figures) -> tuple[object, ...]:
    """The figures for a table with ``HEAD``."""
    tally = figures.tally
    latencies = (f"{value:.2f}" for value in figures.latency_ms().values())
    errors = ", ".join(f"{count:,} {code}" for code, count in sorted(tally.errors.items()))
    before, after = figures.terms
    terms = str(before) if before == after else f"{before} to {after}"
    rate = f"{figures.operations_per_second:,.0f}"
    return (rate, *latencies, f"{tally.operations:,}", errors or "0", f"{tally.not_found:,}", terms)


def _so_far(seconds: float, operations: int, errors: int) -> str:
    failed = f", {errors:,} failed" if errors else ""
    return f"{seconds:.1f} s: {operations:,} operations, {operations / seconds:,.0f}/s{failed}"
