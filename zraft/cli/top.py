"""``zraft top``: a live view of the members of a cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from zraft.cli.connection import endpoints_option, timeout_option
from zraft.cli.manual import Manual
from zraft.cli.numbers import NumberRange, WholeRange
from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.cli.top_sampling import HTTP_OFFSET, take
from zraft.cli.top_view import Top

if TYPE_CHECKING:
    import curses

_QUIT = (ord("q"), ord("Q"))


@click.command(
    cls=Manual,
    examples=[
        "zraft top",
        "zraft top --endpoints 10.0.0.1:8080 # one node suffices to find the others",
        "zraft top --once # a single picture, for a script or a report",
    ],
    ends=(UNAVAILABLE,),
)
@click.option("--once", is_flag=True, help="Print one picture of what happens within one interval, and end.")
@click.option(
    "--interval",
    type=NumberRange(min=0.1, max=60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two pictures.",
)
@click.option(
    "--http-offset",
    type=WholeRange(-65535, 65535),
    default=HTTP_OFFSET,
    show_default=True,
    metavar="N",
    help="How far the nodes' HTTP ports are above their client ports.",
)
@endpoints_option
@timeout_option(1.0, "How long to wait for each member.")
def top(once: bool, interval: float, http_offset: int, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Watch all members, live.

    It shows roles, terms, rates, latencies, who is behind, and the elections since you look. BEHIND is how many entries
    a member has still to apply of what is committed. READ is how long a linearizable read through it takes, just now.
    WRITES/S, READS/S and the 99th percentiles of writes and of syncs of the log come from its HTTP port, and count the
    requests that came to this node. Times are UTC. q or Ctrl-C ends it.
    """
    view = Top()
    if once:
        view.frame(take(endpoints, timeout, http_offset))
        time.sleep(interval)
        click.echo("\n".join(view.frame(take(endpoints, timeout, http_offset))))
        return
    if not sys.stdout.isatty():
        raise click.UsageError("this is no terminal: use --once")
    first = take(endpoints, timeout, http_offset)  # nobody answers: an error as of any other command
    import curses  # only here: not every client's machine has it

    try:
        curses.wrapper(_watch, view.frame(first), lambda: view.frame(take(endpoints, timeout, http_offset)), interval)
    except curses.error as error:
        raise click.UsageError(f"this terminal can't be drawn on ({error}): set TERM, or use --once") from error
    except KeyboardInterrupt:
        return


def _watch(screen: curses.window, lines: list[str], look: Callable[[], list[str]], interval: float) -> None:
    """Shows frames on a terminal until it is asked to end. What nobody answers to is shown, and asked again."""
    screen.timeout(int(interval * 1000))
    while True:
        height, width = screen.getmaxyx()
        screen.erase()
        for number, line in enumerate(lines[:height]):
            screen.addnstr(number, 0, line, width - 1)
        screen.refresh()
        if screen.getch() in _QUIT:
            return
        try:
            lines = look()
        except Failure as failure:
            lines = [str(failure)]
