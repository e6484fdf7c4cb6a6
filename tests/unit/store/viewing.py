"""A gateway's part in another process: a view of the state, asked through a pipe."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from zraft.store.state import Snapshot, StateView

ANSWER_TIMEOUT_S = 30


class Viewer:
    """A spawned process that opens a view, and keeps a snapshot from `begin` until the next one or its death."""

    def __init__(self, path: Path, map_size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_view, args=(path, map_size, other), daemon=True)
        self._process.start()
        other.close()

    def begin(self) -> None:
        self._ask("begin", b"")

    def key(self, key: bytes) -> bytes | None:
        return self._ask("key", key)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._process.close()
        self._pipe.close()

    def _ask(self, what: str, key: bytes) -> bytes | None:
        self._pipe.send((what, key))
        assert self._pipe.poll(ANSWER_TIMEOUT_S), "the viewer does not answer"
        answer: bytes | None = self._pipe.recv()
        return answer


def _view(path: Path, map_size: int, pipe: Connection) -> None:
    view = StateView(path, map_size)
    snapshot: Snapshot | None = None
    while True:
        what, key = pipe.recv()
        if what == "begin":
            if snapshot is not None:
                snapshot.close()
            snapshot = view.begin()
            pipe.send(None)
        elif snapshot is not None:
            pipe.send(snapshot.key(key))
