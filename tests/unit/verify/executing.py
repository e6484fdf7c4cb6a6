"""Histories that are right by construction: a store that executes one operation after the other, asked by clients
whose operations overlap, and who sometimes never hear what came of a write.
"""

import itertools
import random
from dataclasses import dataclass, field

from zraft.verify.history import FAILED, OK, UNKNOWN, Command, Item, Operation, Result

PREFIX = "k/"
REFUSED = Result(success=False)


@dataclass
class Store:
    """The keys, and all that they ever were. Others write elsewhere now and then, which takes revisions too."""

    revision: int = 0
    items: dict[str, Item] = field(default_factory=dict)
    versions: list[tuple[int, str, Item | None]] = field(default_factory=list)

    def write(self, command: Command) -> Result:
        old = self.items.get(command.key)
        current = old.mod_revision if old else 0
        if command.expected not in (None, current):
            return Result(success=False, revision=self.revision, mod_revision=current, found=old is not None)
        if command.operation == "delete" and old is None:
            return Result(revision=self.revision)
        self.revision += 1
        if command.value is None:
            del self.items[command.key]
        else:
            create, version = (old.create_revision, old.version + 1) if old else (self.revision, 1)
            self.items[command.key] = Item(command.key, command.value, create, self.revision, version)
        self.versions.append((self.revision, command.key, self.items.get(command.key)))
        is_found = command.operation == "delete"
        return Result(revision=self.revision, mod_revision=self.revision, found=is_found)

    def get(self, key: str, at: int) -> Result:
        item = self.items.get(key)
        if at:
            past = [item for revision, one, item in self.versions if one == key and revision <= at]
            item = past[-1] if past else None
        if item is None:
            return Result(revision=self.revision)
        return Result(
            found=True,
            revision=self.revision,
            value=item.value,
            create_revision=item.create_revision,
            mod_revision=item.mod_revision,
            version=item.version,
        )

    def range(self, prefix: str) -> Result:
        items = (item for key, item in sorted(self.items.items()) if key.startswith(prefix))
        return Result(revision=self.revision, items=tuple(items))


@dataclass
class Flight:
    """An operation under way: how it was asked, what came of it, and whether its client still waits."""

    client: int
    invocation: int
    asked: dict[str, object]
    result: Result | None = None
    is_awaited: bool = True


class Execution:
    """Clients and a store; ``history`` runs them.

    ``lost``: how often a client gives up waiting, at each step; ``batches``: how many more operations are batches, of
    up to four commands that may be to one key.
    """

    def __init__(self, rng: random.Random, keys: int, lost: float, batches: float = 0.0) -> None:
        self._rng = rng
        self._keys = [f"{PREFIX}{number}" for number in range(keys)]
        self._lost = lost
        self._batches = batches
        self._store = Store()
        self._values = map(str, itertools.count(1))
        self._history: list[Operation] = []

    def history(self, operations: int, clients: int) -> list[Operation]:
        """So many operations, in the order in which their clients gave up or were told."""
        flights: list[Flight] = []
        begun = 0
        for now in itertools.count(1):
            waiting = {flight.client for flight in flights if flight.is_awaited}
            if begun == operations and not waiting:
                return self._history
            free = [client for client in range(clients) if client not in waiting]
            if free and begun < operations and self._rng.random() < 0.5:
                flights.append(Flight(self._rng.choice(free), now, self._ask()))
                begun += 1
            elif flights:
                self._go_on(flights, self._rng.choice(flights), now)
        raise AssertionError

    def _go_on(self, flights: list[Flight], flight: Flight, now: int) -> None:
        is_write = flight.asked["operation"] in ("put", "delete", "batch")
        if flight.is_awaited and is_write and self._rng.random() < self._lost:
            flight.is_awaited = False
            self._end(flight, now, UNKNOWN, None)
        elif flight.result is None:
            self._store.revision += self._rng.random() < 0.1
            flight.result = self._execute(flight.asked)
        else:
            flights.remove(flight)
            if flight.is_awaited:
                outcome = OK if flight.result.success else FAILED
                self._end(flight, now, outcome, flight.result)

    def _end(self, flight: Flight, now: int, outcome: str, result: Result | None) -> None:
        told = {"revision": result.revision, "result": result} if result else {}
        times = {"invocation": flight.invocation, "completion": now}
        line = {"client": flight.client, "outcome": outcome, **flight.asked, **told, **times}
        self._history.append(Operation(**line))  # type: ignore[arg-type]

    def _ask(self) -> dict[str, object]:
        if self._batches and self._rng.random() < self._batches:
            keys = self._rng.choices(self._keys, k=self._rng.randint(2, 4))
            return {"operation": "batch", "commands": tuple(self._command(key) for key in keys)}
        kind = self._rng.choice(("put", "put", "delete", "get", "get", "range", "batch"))
        key = self._rng.choice(self._keys)
        match kind:
            case "put" | "delete":
                command = self._command(key)
                return {
                    "operation": command.operation,
                    "key": command.key,
                    "value": command.value,
                    "expected": command.expected,
                }
            case "get":
                at = (
                    self._rng.randint(1, self._store.revision)
                    if self._store.revision and self._rng.random() < 0.2
                    else 0
                )
                return {"operation": "get", "key": key, "at": at}
            case "range":
                return {"operation": "range", "key": PREFIX}
        keys = self._rng.sample(self._keys, min(len(self._keys), self._rng.randint(1, 3)))
        return {"operation": "batch", "commands": tuple(self._command(key) for key in keys)}

    def _command(self, key: str) -> Command:
        known = [0, *(revision for revision, one, _ in self._store.versions[-20:] if one == key)]
        expected = self._rng.choice(known[-2:]) if self._rng.random() < 0.4 else None
        if self._rng.random() < 0.25:
            return Command("delete", key, None, expected)
        return Command("put", key, next(self._values), expected)

    def _execute(self, asked: dict[str, object]) -> Result:
        match asked:
            case {"operation": "get", "key": str(key), "at": int(at)}:
                return self._store.get(key, at)
            case {"operation": "range", "key": str(prefix)}:
                return self._store.range(prefix)
            case {"operation": "batch", "commands": tuple(commands)}:
                results = tuple(self._store.write(command) for command in commands)
                return Result(revision=self._store.revision, results=results)
        return self._store.write(Command(asked["operation"], asked["key"], asked["value"], asked["expected"]))  # type: ignore[arg-type]
