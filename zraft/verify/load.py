"""A load that keeps account: clients that write and read keys of their own, and a history of all they were told."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from zraft.client import Client, Delete
from zraft.errors import Unavailable
from zraft.verify.caller import Caller
from zraft.verify.history import Command, Operation

GROUPS, GROUP_KEYS = 8, 6
"""The keys that all clients share; a range reads one group."""
KINDS = {"put": 30, "once": 8, "compare": 20, "delete": 6, "get": 24, "range": 6, "batch": 6}
"""What a client does next, and how often. ``compare``: a get, then a put on condition that nothing changed."""
BATCH_KEYS_MAX = 5
ANSWER_BYTES = 1 << 20
READ_BACK_MAX = 2_000
READ_BACK_S = 30.0


class LoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``prefix``: all keys begin with it, and nobody else writes such ones. Times are seconds."""

    endpoints: tuple[str, ...]
    prefix: str
    clients: int = 8
    timeout: float = 2.0
    """How long a client waits for an answer, repetitions included."""
    value_bytes: int = 24
    """How long values are, at least."""
    seed: int = 0
    """Of what the clients do; how it interleaves is chance."""


class CheckedLoad:
    """Clients in threads, that go on while the context lasts; it may be entered again, and the history goes on."""

    def __init__(self, settings: LoadSettings) -> None:
        self.settings = settings
        self.history: list[Operation] = []
        """In the order in which operations ended."""
        self.acknowledged = [0] * settings.clients
        """Writes of each client that took effect, as it was told."""
        self.errors: list[BaseException] = []
        """Of clients that ended by a bug; the end of the context raises the first."""
        self._numbers = itertools.count(1)
        self._entered = itertools.count()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._stop.clear()
        turn = next(self._entered)
        for client in range(self.settings.clients):
            thread = threading.Thread(target=self._run, args=(client, turn), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while self._threads:
            self._threads.pop().join()
        if self.errors and error is None:
            raise self.errors[0]

    def read_back(self) -> None:
        """Read all keys, and each acknowledged write at its own revision: what is there goes into the history.

        Not while clients run. Writes whose revisions are compacted by now can't be asked for: that they were there is
        judged by what was read at the time, and by what stands there now.

        Raises:
            Unavailable: the cluster did not serve it.
            ZraftError: the same, for other reasons.
        """
        written = [
            (command.key, result.mod_revision)
            for operation in self.history
            for command, result in zip(operation.writes(), operation.write_results(), strict=True)
            if result is not None and result.success and result.mod_revision
        ]
        size = max(1, min(READ_BACK_MAX, ANSWER_BYTES // (self.settings.value_bytes + 64)))
        with Caller(self.settings.endpoints, self.settings.clients, READ_BACK_S) as caller:
            view = caller.scan(self.settings.prefix)
            if view.result is None:
                raise Unavailable(view.error)
            self.history.append(view)
            # Of a revision that is lost nobody can be asked; that the view is older than it says enough.
            written = [one for one in written if one[1] <= view.revision]
            for begin in range(0, len(written), size):
                self.history.extend(caller.read_past(written[begin : begin + size]))

    def clean_up(self) -> None:
        """Delete all keys below the prefix.

        Raises:
            ZraftError: the cluster did not serve it.
        """
        with Client(self.settings.endpoints, timeout=READ_BACK_S) as client:
            keys = [item.key for item in client.range(prefix=self.settings.prefix, keys_only=True)]
            for begin in range(0, len(keys), READ_BACK_MAX):
                client.batch(Delete(key) for key in keys[begin : begin + READ_BACK_MAX])

    def _run(self, client: int, turn: int) -> None:
        rng = random.Random(f"{self.settings.seed}/{client}/{turn}")
        try:
            with Caller(self.settings.endpoints, client, self.settings.timeout) as caller:
                while not self._stop.is_set():
                    for operation in self._do(caller, rng):
                        self.history.append(operation)
                        told = operation.write_results()
                        self.acknowledged[client] += any(one and one.success and one.mod_revision for one in told)
        except BaseException as error:
            self.errors.append(error)

    def _do(self, caller: Caller, rng: random.Random) -> Iterator[Operation]:
        key = self._key(rng)
        match rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]:
            case "put":
                yield caller.write(self._put(key))
            case "once":
                yield caller.write(self._put(f"{self.settings.prefix}once/{next(self._numbers)}"))
            case "compare":
                read = caller.get(key)
                yield read
                if read.result is not None:
                    yield caller.write(self._put(key, read.result.mod_revision))
            case "delete":
                yield caller.write(Command("delete", key))
            case "get":
                yield caller.get(key)
            case "range":
                yield caller.scan(key.rpartition("/")[0] + "/")
            case _:
                keys = {self._key(rng) for _ in range(rng.randint(2, BATCH_KEYS_MAX))}
                yield caller.write(*(self._put(one) for one in sorted(keys)))

    def _put(self, key: str, expected: int | None = None) -> Command:
        return Command("put", key, f"{next(self._numbers)}.".ljust(self.settings.value_bytes, "-"), expected)

    def _key(self, rng: random.Random) -> str:
        return f"{self.settings.prefix}{rng.randrange(GROUPS)}/{rng.randrange(GROUP_KEYS)}"
