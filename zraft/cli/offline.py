"""What commands share that work on the data directory of a node that is down."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.store.check import holds_data
from zraft.store.directory import DataDirectory

BAR_WIDTH = 30

data_directory_argument = click.argument(
    "data_dir", type=click.Path(file_okay=False, path_type=Path), metavar="DATA_DIR"
)


@contextlib.contextmanager
def locked(data_dir: Path, needs_data: bool = True) -> Iterator[DataDirectory]:
    """The directory, which must be there, held meanwhile.

    Args:
        data_dir: the directory.
        needs_data: whether a node must have kept something in it.

    Raises:
        DataDirectoryInUse: its node runs.
        Failure: there is no data.
        StorageFault: it can't be used.
    """
    if not data_dir.is_dir():
        raise click.UsageError(f"there is no directory {data_dir}")
    directory = DataDirectory(data_dir)
    if needs_data:
        _require_data(directory)  # before there is a lock, which is a file: where there is nothing, none is made
    directory.acquire()
    try:
        if needs_data:
            _require_data(directory)
        yield directory
    finally:
        directory.release()


def _require_data(directory: DataDirectory) -> None:
    if not holds_data(directory):
        raise Failure(f"{directory.path} holds no data of a node", UNAVAILABLE)


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
