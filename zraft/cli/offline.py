"""What commands share that work on the data directory of a node that is down."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from zraft.store.directory import DataDirectory

BAR_WIDTH = 30

data_directory_argument = click.argument(
    "data_dir", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DATA_DIR"
)


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[DataDirectory]:
    """The directory, held meanwhile.

    Raises:
        DataDirectoryInUse: its node runs.
    """
    directory = DataDirectory(data_dir)
    directory.acquire()
    try:
        yield directory
    finally:
        directory.release()


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, if that is a terminal; to be told (what is done, bytes done, bytes in all)."""
    if not sys.stderr.isatty():
        yield lambda what, done, whole: None
        return
    shown = False

    def show(what: str, done: int, whole: int) -> None:
        nonlocal shown
        shown = True
        filled = BAR_WIDTH * done // max(whole, 1)
        bar = f"{'#' * filled}{'.' * (BAR_WIDTH - filled)}"
        click.echo(f"\r{what} [{bar}] {done >> 20} of {whole >> 20} MiB", err=True, nl=False)

    try:
        yield show
    finally:
        if shown:
            click.echo(err=True)
