"""How far a command has come, on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

LINE_EVERY_S = 5.0
"""How often progress is told where stderr is no terminal."""

_CLEAR_LINE = "\r\x1b[K"


@contextlib.contextmanager
def progress_line() -> Iterator[Callable[[float, str], None]]:
    """To be told (seconds since the begin, how far it is): on a terminal one line, written over and over, gone at last.

    Elsewhere, as in a log, it is a line now and then.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    shown = False

    def show(seconds: float, text: str) -> None:
        nonlocal shown
        shown = True
        click.echo(f"{_CLEAR_LINE}{text}", err=True, nl=False)

    try:
        yield show
    finally:
        if shown:
            click.echo(_CLEAR_LINE, err=True, nl=False)


def _lines() -> Callable[[float, str], None]:
    due = LINE_EVERY_S

    def line(seconds: float, text: str) -> None:
        nonlocal due
        if seconds >= due:
            due = seconds + LINE_EVERY_S
            with contextlib.suppress(OSError):  # what the command does is what is wanted
                click.echo(text, err=True)

    return line
