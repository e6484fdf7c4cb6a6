"""Reads straight from the map that storage writes: no message to any process."""

from __future__ import annotations

import time
from collections.abc import Sequence

import lmdb

from zraft.core.reads import Read
from zraft.core.views import View
from zraft.errors import CorruptState, InvariantViolated, Unavailable
from zraft.protocol import codec
from zraft.protocol.requests import Batch, Get, Range
from zraft.store.directory import DataDirectory
from zraft.store.state import StateView

_READS = (Get, Range, Batch)
SLICE_SECONDS = 0.020
"""Reads are served for so long at a time: a transaction pins the pages that it sees, and other clients wait."""


class StateReads:
    """The applied state of this node, of whichever generation the page names."""

    def __init__(self, directory: DataDirectory, map_size: int) -> None:
        self._directory = directory
        self._map_size = map_size
        self._view: StateView | None = None
        self._generation: int | None = None

    def answer(
        self, index: int, reads: Sequence[Read], generation: int | None
    ) -> tuple[list[tuple[Read, bytes]], tuple[Read, ...]]:
        """(answers, reads that are left), from one view that has applied ``index``; no answers: there is none yet.

        Raises:
            CorruptState: what is to be read is damaged. None of these reads may be answered from it.
            Unavailable: the state is not there at the moment.
        """
        view = self._at(generation)
        try:
            with view.begin() as snapshot:
                return _answer(View(snapshot), index, reads)
        except CorruptState as error:
            raise error.within(self._directory.path) from error
        except (lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
            raise CorruptState(f"LMDB can't read it ({error})").within(self._directory.path) from error

    def close(self) -> None:
        """Leave the state."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _at(self, generation: int | None) -> StateView:
        """The view of ``generation``: one environment a process, so the old one is left before the new is opened."""
        if generation is None:
            raise Unavailable("storage has not opened the state yet; try again")
        if self._view is None or generation != self._generation:
            self.close()
            self._view = StateView(self._directory.state_path(generation), self._map_size)
            self._generation = generation
        return self._view


def _answer(view: View, index: int, reads: Sequence[Read]) -> tuple[list[tuple[Read, bytes]], tuple[Read, ...]]:
    answers: list[tuple[Read, bytes]] = []
    if view.applied.index < index:
        return answers, tuple(reads)
    end = time.monotonic() + SLICE_SECONDS
    for read in reads:
        if not isinstance(read.request, _READS):
            raise InvariantViolated("only reads are read", request=type(read.request).__name__)
        answers.append((read, codec.encode(view.answer(read.request))))
        if time.monotonic() > end:
            break
    return answers, tuple(reads[len(answers) :])
