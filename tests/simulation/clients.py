"""Clients that write and read through any gateway, and the check that what they see is linearizable.

The log's order is a linearization by construction; so it is enough that it agrees with real time and that every answer
is the one that this order gives. ``floor`` is the newest index that anybody had seen when an operation began.

A serializable read may be behind that, but not behind what the same node had shown to anybody, unless its state was
lost in the meantime.
"""

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.invariants import Violation, require
from zraft.core.admission import Caller
from zraft.core.limits import is_serializable
from zraft.core.proposals import Waiting
from zraft.core.reads import Read
from zraft.errors import Compacted, NotExecuted, Rejected, Unknown, from_code
from zraft.protocol.codec import encode, response
from zraft.protocol.requests import Batch, Command, Compact, Delete, Get, Put, Range
from zraft.protocol.responses import (
    BatchResult,
    CompactResult,
    DeleteResult,
    ErrorResult,
    GetResult,
    PutResult,
    RangeResult,
)

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.node import Node

KEYS = (b"a", b"b", b"ba", b"c")
PATIENCE_SECONDS = 1.5
REQUEST_SECONDS = 1.0
LARGE_BATCHES = 0.03
"""Of the operations, where reads begin at any time: they are applied in several steps, and seen by nobody meanwhile."""
LARGE = 100


class Operation(msgspec.Struct):
    """One request of one client.

    ``floor`` is the newest index that was known when it began: to anybody or, for a serializable read, by the ``node``
    that it asks, which had lost its state ``restored`` times.
    """

    request: Command | Get | Range
    client: int
    floor: int
    node: "Node"
    restored: int
    values: tuple[bytes, ...] = ()
    done: bool = False


class Clients:
    """A few clients, each with one operation at a time."""

    def __init__(self, cluster: "Cluster", count: int) -> None:
        self._cluster = cluster
        self._operations: dict[int, Operation] = {}
        self._number = 0
        self._stopped = False
        self._floor = 0
        self._newest = 0  # revision that anybody was told
        self._revisions: dict[bytes, int] = {}
        self.acknowledged: dict[int, Put] = {}
        """Puts that a client was told of, by the revision that it was told."""
        self.writes = self.reads = self.unknown = self.refused = 0
        self._pages: dict[int, Range] = {}  # what a client reads next, since its range goes on
        self.avoided: list[Node] = []
        """Nobody asks these from now on."""
        self._rest = cluster.world.random.choice((0.01, 0.03, 0.1))
        self._serializable = Random(f"serializable {cluster.world.seed}").choice((0.0, 0.1, 0.5))  # of the reads
        for client in range(count):
            cluster.world.after(cluster.world.between(0, 0.5), self._begin, client)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    def told(self, caller: Caller, body: bytes, applied: int = 0) -> None:
        """The answer to an operation; ``applied`` is the index of the view that a read was answered from."""
        number = int(caller.request)
        if number < 0:
            self._cluster.operators.told(body)
            return
        asked = self._operations[number]
        if asked.done:
            return
        asked.done = True
        answer = response.decode(body)
        self._cluster.world.note(f"client {asked.client}", f"#{number} {type(asked.request).__name__} is told {answer}")
        match answer:
            case ErrorResult(code, message):
                self._on_error(asked, from_code(code, message), applied)
            case GetResult() | RangeResult():
                self._on_read(asked, answer, applied)
            case PutResult() | DeleteResult():
                self._on_write(asked, answer, (answer,))
            case BatchResult():
                self._on_write(asked, answer, answer.results)
            case CompactResult():
                self._on_write(asked, answer, (answer,))
            case _:
                raise Violation(f"an answer of another kind: {answer}")
        self._go_on(asked)

    # --- one after the other

    def _begin(self, client: int) -> None:
        if self._stopped:
            return
        cluster = self._cluster
        world = cluster.world
        self._number = number = self._number + 1
        request = self._pages.pop(client, None) or self._choose(number)
        values = tuple(put.value for put in _operations_of(request) if isinstance(put, Put))
        node = world.random.choice([node for node in cluster.serving() if node not in self.avoided])
        floor = node.shown if is_serializable(request) else self._floor
        self._operations[number] = operation = Operation(request, client, floor, node, node.restored, values)
        deadline = node.clock.now() + REQUEST_SECONDS
        caller = Caller(b"%d" % client, b"%d" % number, 0)
        world.note(f"client {client}", f"#{number} asks {node.id}: {request}")
        if isinstance(request, Get | Range):
            node.gateway.submit(Read(caller, request, deadline))
        else:
            node.gateway.submit(Waiting(caller, encode(request), True, deadline))
        world.after(PATIENCE_SECONDS, self._give_up, operation)

    def _give_up(self, operation: Operation) -> None:
        """The gateway died, or is stuck: the outcome is unknown."""
        if not operation.done:
            operation.done = True
            self.unknown += 1
            self._go_on(operation)

    def _go_on(self, operation: Operation) -> None:
        world = self._cluster.world
        world.after(world.seldom_long(self._rest, 0.3, 0.05), self._begin, operation.client)

    def _choose(self, number: int) -> Command | Get | Range:
        reads = self._cluster.reads
        if self._cluster.reads_at_any_time and reads.random() < LARGE_BATCHES:
            return Batch(tuple(Put(reads.choice(KEYS), b"%d.%d" % (number, place)) for place in range(LARGE)))
        random = self._cluster.world.random
        key = random.choice(KEYS)
        kind = random.random()
        value = b"%d" % number
        if kind < 0.35:
            return Put(key, value, return_previous=kind < 0.1)
        if kind < 0.45:
            return Put(key, value, expected_revision=self._revisions.get(key, 0))
        if kind < 0.55:
            return Delete(key)
        if kind < 0.6:
            count = 50 if kind > 0.595 else random.randint(2, 5)
            return Batch(tuple(Put(random.choice(KEYS), b"%d.%d" % (number, place)) for place in range(count)))
        if kind < 0.62 and self._newest:
            return Compact(self._past(), resume=random.random() < 0.5)
        revision = self._past() if random.random() < 0.3 else 0
        serializable = not revision and self._serializable > 0 and random.random() < self._serializable
        if kind < 0.95:
            return Get(key, serializable, revision)
        limit = random.choice((0, 2))
        return Range(prefix=random.choice((b"", b"b")), limit=limit, revision=revision, serializable=serializable)

    def _past(self) -> int:
        """A revision that was told, rather a young one."""
        return max(0, self._newest - int(self._cluster.world.random.expovariate(1 / 20)))

    # --- what may be concluded

    def _on_error(self, asked: Operation, error: Exception, applied: int) -> None:
        if isinstance(error, Compacted) and not isinstance(asked.request, Compact):
            self._on_read(asked, error, applied)
            return
        if isinstance(error, Unknown):
            self.unknown += 1
            return
        require(isinstance(error, NotExecuted | Rejected), "an error says what may be concluded", error=repr(error))
        self.refused += 1
        for value in asked.values:
            self._cluster.refused_values.add(value)
            executed = self._cluster.invariants.executed_at(value)
            require(not executed, "what was refused is not executed", value=value, index=executed)

    def _on_write(self, asked: Operation, answer: Any, results: tuple[Any, ...]) -> None:
        index: int = answer.index
        require(index > asked.floor, "a write takes effect after it began", index=index, floor=asked.floor)
        expected = self._cluster.invariants.answers_of(index, encode(asked.request))
        require(encode(answer) in expected, "a write is answered by its own result", answer=answer, expected=expected)
        self._saw(asked, index)
        self.writes += 1
        for operation, result in zip(_operations_of(asked.request), results, strict=True):
            if isinstance(operation, Put) and isinstance(result, PutResult) and result.success:
                other = self.acknowledged.setdefault(result.mod_revision, operation)
                require(other is operation, "S11: a revision is one command's", one=other, another=operation)
            self._newest = max(self._newest, result.revision)
            if isinstance(operation, Put | Delete) and isinstance(result, PutResult | DeleteResult):
                self._revisions[operation.key] = result.mod_revision

    def _on_read(self, asked: Operation, answer: "GetResult | RangeResult | Compacted", applied: int) -> None:
        linearizable = not is_serializable(asked.request)
        if linearizable or asked.node.restored == asked.restored:
            require(applied >= asked.floor, "a read sees what was known before it", applied=applied, floor=asked.floor)
        self._saw(asked, applied)
        self.reads += linearizable  # the others are no progress
        request, invariants = asked.request, self._cluster.invariants
        state = invariants.state_at(applied)
        self._newest = max(self._newest, state.revision)
        expected: object
        if 0 < request.revision < state.compacted:  # type: ignore[union-attr]  # only reads come here
            expected = Compacted.code
        elif isinstance(request, Get):
            expected = invariants.history.get(request, state.revision)
        else:
            expected = invariants.history.range(request, state.revision)  # type: ignore[arg-type]
        if isinstance(answer, Compacted):
            found: object = answer.code
        else:
            found = answer.error.code if isinstance(answer, GetResult) and answer.error else answer
        require(found == expected, "a read gives what was written", request=request, answer=answer, expected=expected)
        if isinstance(request, Range) and isinstance(answer, RangeResult) and answer.more:
            self._turn_page(asked, request, answer)

    def _turn_page(self, asked: Operation, request: Range, answer: RangeResult) -> None:
        """Go on where the range ended, at its revision, perhaps at another node."""
        if self._cluster.reads_at_any_time:
            rest = msgspec.structs.replace(request, start=answer.next_key, revision=answer.revision)
            self._pages[asked.client] = rest

    def _saw(self, asked: Operation, index: int) -> None:
        """Whoever reads from now on sees this, and so does a serializable read at the same node."""
        self._floor = max(self._floor, index)
        if asked.node.restored == asked.restored:
            asked.node.shown = max(asked.node.shown, index)


def _operations_of(request: Command | Get | Range) -> tuple[object, ...]:
    return request.operations if isinstance(request, Batch) else (request,)
