"""``zraft verify``: whether a cluster keeps its word under load."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from zraft.cli.connection import connection_options, known_endpoints
from zraft.cli.manual import Manual
from zraft.cli.numbers import NumberRange, WholeRange
from zraft.cli.outcomes import MACHINE, REJECTED, UNAVAILABLE, VIOLATED, Failure
from zraft.cli.output import output_option, require_directory_of, tell
from zraft.errors import ZraftError
from zraft.verify import CheckedLoad, LoadSettings, check, picture_of, read_history, write_history
from zraft.verify.evidence import Violation
from zraft.verify.history import HistoryError, Operation

CLIENTS_MAX = 256
TOLD_MAX = 20
"""Violations that are told one by one; the closing line counts all."""


@click.command(
    cls=Manual,
    examples=[
        "zraft verify # 30 s of load on the local cluster",
        "zraft verify --seconds 600 --clients 16 --endpoints db1:8080,db2:8080,db3:8080",
        "zraft verify --check zraft-history.jsonl # judge again what was written",
    ],
    ends=(UNAVAILABLE, REJECTED, VIOLATED, MACHINE),
)
@click.option(
    "--seconds",
    type=NumberRange(0.1, 86_400),
    default=30.0,
    show_default=True,
    metavar="N",
    help="How long to put load on the cluster.",
)
@click.option(
    "--clients",
    type=WholeRange(1, CLIENTS_MAX),
    default=8,
    show_default=True,
    metavar="N",
    help="Clients, each with one operation at a time.",
)
@click.option(
    "--history",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("zraft-history.jsonl"),
    show_default=True,
    metavar="FILE",
    help="Where the history goes; a violation is drawn next to it, with .html appended.",
)
@click.option(
    "--check",
    "given",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Put no load on anything: judge this history. One without operations is refused.",
)
@output_option("operations, unknown and violations: how many there were", table="all of it on one line")
@connection_options
def verify(
    seconds: float,
    clients: int,
    file: Path,
    given: Path | None,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Put load on a cluster, and check all that it answered.

    Every answer is written down and judged: the history must be linearizable, and every acknowledged write must be
    there at the end. Kill nodes meanwhile, cut their network: that is what it is for. It writes keys that begin with
    zraft-verify/ and deletes them afterwards. The check holds the whole history in memory, about 3 KB an operation.
    """
    if given is not None:
        _judge_again(given, output)
        return
    require_directory_of(file)
    prefix = f"zraft-verify/{secrets.token_hex(8)}/"
    settings = LoadSettings(endpoints=known_endpoints(endpoints), prefix=prefix, clients=clients, timeout=timeout)
    load = CheckedLoad(settings)
    write_history(file, ())  # a file that can't be written is found out before the load, not after it
    try:
        with load:
            time.sleep(seconds)
    except KeyboardInterrupt:
        click.echo(f"zraft: nothing was judged; the answers are in {file}, keys below {prefix} are left", err=True)
        raise
    finally:
        write_history(file, load.history)
    if not any(load.acknowledged):
        raise Failure("not one write succeeded: see which nodes are up with `zraft status`", UNAVAILABLE)
    try:
        _judge_all(load, file, output)
    finally:
        _clean_up(load)


def _judge_again(file: Path, output: str) -> None:
    try:
        history = list(read_history(file))
        if not history:  # a verdict on nothing would pass for a proof
            raise Failure(f"no operations in {file}: nothing was checked", REJECTED)
        _judge(history, file, output)
    except HistoryError as error:
        raise click.UsageError(str(error)) from None


def _judge_all(load: CheckedLoad, file: Path, output: str) -> None:
    """With what is there at the end, if it can be read."""
    try:
        load.read_back()
    except ZraftError as error:
        _judge(load.history, file, output)
        text = f"what is there now could not be read, so only the answers are judged ({error}); they are in {file}"
        raise Failure(text, UNAVAILABLE) from error
    write_history(file, load.history)
    _judge(load.history, file, output)


def _judge(history: list[Operation], file: Path, output: str) -> None:
    verdict = check(history)
    for violation in verdict.violations[:TOLD_MAX]:
        click.echo(f"zraft: {violation.what}", err=True)
    counts = {"operations": verdict.operations, "unknown": verdict.unknown, "violations": len(verdict.violations)}
    told = f"operations={verdict.operations} faults=0 unknown={verdict.unknown} violations={len(verdict.violations)}"
    tell(output, told, counts)
    if verdict.violations:
        _draw(verdict.violations[0], history, file.with_name(f"{file.name}.html"))
        raise click.exceptions.Exit(VIOLATED)


def _draw(violation: Violation, history: list[Operation], picture: Path) -> None:
    try:
        picture.write_text(picture_of(violation, history), encoding="utf-8")
    except OSError as error:
        click.echo(f"zraft: the first of them could not be drawn: {error}", err=True)
    else:
        click.echo(f"zraft: the first of them is drawn in {picture}", err=True)


def _clean_up(load: CheckedLoad) -> None:
    try:
        load.clean_up()
    except ZraftError as error:
        click.echo(f"zraft: keys below {load.settings.prefix} are left: {error}", err=True)
