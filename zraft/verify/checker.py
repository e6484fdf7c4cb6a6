"""Whether a history is linearizable: whether some order of its operations explains every answer.

What is checked, and why it is enough:

1. All that the revisions tell, over all keys (``evidence``). It orders every answered operation, for every answer
   tells its revision: ranges and batches, which touch many keys, need no search of their own.
2. Each key by itself (``search``, ``model``): every write in the place of its revision, every value, version and
   revision that was read or told by a refusal, and every key that a range did not find. What is searched for are the
   writes of unknown outcome that no read ever saw: each may have taken effect at any time after it was asked for, or
   never. Of a batch one of whose writes was seen all were executed just then, and whether one that nobody saw had an
   effect was decided by what it found.

The keys may be judged one by one, though the store has one order for all: within the bounds of ``evidence.Times`` a
revision of another key counts as much as one of the own, so a cycle through several keys would need an operation
that has an end in time but no revision, and there is none. A serializable read, and one at a revision asked for, has
its place in the order by its revision, but need not be of the present.

What is left out: how many revisions the unseen writes of different keys need together, since revisions of others may
lie between; whether a batch of unknown outcome was whole, if no read saw one of its writes; how its writes to several
keys share the revisions, if it is not known which of them had an effect, and what a read of the past found among them;
which of several unseen writes it was that created a key, or stood at a revision that was asked for later.
The keys of a history are absent at its begin, and nobody else writes them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zraft.verify.batches import made_by
from zraft.verify.evidence import NEVER, Evidence, Violation, items_of, position_of
from zraft.verify.history import OK, UNKNOWN, Command, Operation, Result
from zraft.verify.model import ABSENT, Kind, Span, Step, apply
from zraft.verify.search import Call, Pending, search

SHOWN_MAX = 8
"""Operations before the one that does not fit which a violation names."""
RANKS = 1 << 20
"""Room between two revisions for the writes of a batch: more than twice as many as it can have."""


class Verdict(NamedTuple):
    """What came of a check: how many operations there were, how many of unknown outcome, and what can't be.

    Reads of the past, which are made when all is over, are judged like all others, but not counted.
    """

    operations: int
    unknown: int
    violations: tuple[Violation, ...]


class _Done(NamedTuple):
    """What one operation did to one key, or saw of it."""

    step: Step
    operation: Operation


_Calls = defaultdict[str, list[Call[_Done]]]


def check(history: Iterable[Operation]) -> Verdict:
    """Judge a whole history.

    Raises:
        HistoryError: two puts write the same value.
    """
    operations = tuple(history)
    evidence = Evidence(operations)
    # If the revisions contradict each other, there is nothing to build on.
    violations = tuple(evidence.violations or _violations_of_keys(evidence))
    return Verdict(sum(not one.at for one in operations), sum(one.outcome == UNKNOWN for one in operations), violations)


def _violations_of_keys(evidence: Evidence) -> Iterator[Violation]:
    calls, pending = _Projection(evidence).by_key()
    for key in sorted(calls.keys() | pending.keys()):
        placed = sorted(calls[key], key=lambda call: call.begin)
        stuck = search(placed, _pending_of(pending[key]), lambda state, done: apply(state, done.step), ABSENT)
        if stuck is not None:
            before = tuple(call.what.operation for call in stuck.order[-SHOWN_MAX:])
            step, operation = stuck.call.what
            revision = step.before.most + 1 if step.kind is Kind.TRIED else step.revision
            what = f"{key}: {step.kind.name.lower()} at revision {revision}"
            yield Violation(f"{what} fits nothing that may have been before it", (*before, operation))


def _pending_of(calls: Iterable[Call[_Done]]) -> Pending[_Done]:
    queues: dict[tuple[Kind, int | None], list[Call[_Done]]] = {}
    singles = []
    for call in sorted(calls, key=lambda call: call.begin):
        step = call.what.step
        if step.expected:  # no revision comes twice
            singles.append(call)
        else:
            queues.setdefault((step.kind, step.expected), []).append(call)
    return Pending(list(queues.values()), singles)


class _Projection:
    """The operations of a history as calls on each key."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._times = evidence.times
        self._calls: _Calls = defaultdict(list)
        self._pending: _Calls = defaultdict(list)
        self._keys = sorted(_keys_of(evidence.history))
        # By key: among which revisions a write is of which nobody knows whether it had an effect.
        self._vague = defaultdict[str, list[Span]](list)
        for number, spans in evidence.spans.items():
            if len(dict(made_by(spans))) < len(spans) - 1:
                around = Span(spans[0].least, spans[-1].most)
                for command in evidence.history[number].commands:
                    self._vague[command.key].append(around)

    def by_key(self) -> tuple[_Calls, _Calls]:
        """The calls that took effect, and the pending ones."""
        for number, operation in enumerate(self._evidence.history):
            if number in self._evidence.spans:
                self._write_batch(number, operation)
            elif operation.writes():
                results = operation.write_results()
                for place, (command, result) in enumerate(zip(operation.writes(), results, strict=True)):
                    self._write(operation, command, result, self._evidence.revisions.get((number, place), 0))
            elif operation.outcome == OK:  # what nobody was told says nothing
                self._read(operation)
        return self._calls, self._pending

    def _write(self, operation: Operation, command: Command, result: Result | None, revision: int) -> None:
        step = Step(_kind_of(command), revision, command.value, command.expected)
        if revision:
            self._place(command.key, operation, step)
        elif result is None:
            if operation.outcome == UNKNOWN:
                call = Call(operation.invocation, NEVER, _Done(step, operation))
                self._pending[command.key].append(call)
        elif result.success:  # a delete that found nothing
            self._place(command.key, operation, Step(Kind.READ, result.revision))
        else:
            step = Step(Kind.REFUSED, result.revision, None, command.expected, result.mod_revision)
            self._place(command.key, operation, step)

    def _write_batch(self, number: int, operation: Operation) -> None:
        """Of unknown outcome, but executed: its writes are in their order, with nobody else's among them.

        So one that nobody saw comes right behind the last before it whose revision is known, or before the first such.
        """
        spans = self._evidence.spans[number]
        made = dict(made_by(spans))
        near = min(made)
        for place, command in enumerate(operation.commands):
            near = place if place in made else near
            step = Step(_kind_of(command), made.get(place, 0), command.value, command.expected)
            if place not in made:
                before, after = spans[place : place + 2]
                step = Step(Kind.TRIED, 0, command.value, command.expected, before=before, after=after)
            self._place(command.key, operation, step, made[near], place - near)

    def _read(self, operation: Operation) -> None:
        revision = position_of(operation)
        found = {item.key: item for item in items_of(operation)}
        for key in self._read_keys(operation):
            if operation.at and any(span.least < revision < span.most for span in self._vague[key]):
                continue
            item = found.get(key)
            step = Step(Kind.READ, revision)
            if item is not None:
                told = (item.mod_revision, item.create_revision, item.version)
                step = Step(Kind.READ, revision, item.value, None, *told)
            self._place(key, operation, step)

    def _read_keys(self, operation: Operation) -> list[str]:
        if operation.operation == "get":
            return [operation.key]
        begin = bisect_left(self._keys, operation.key)
        end = bisect_left(self._keys, operation.key + chr(0x10FFFF), begin)
        return self._keys[begin:end]

    def _place(self, key: str, operation: Operation, step: Step, near: int = 0, offset: int = 0) -> None:
        """``near``: a revision that its batch made, if its own is not known; ``offset``: so far behind that write."""
        is_write = step.kind in (Kind.PUT, Kind.DELETE, Kind.TRIED)
        revision = near or step.revision
        is_of_the_past = bool(operation.serializable or operation.at)
        asked = 0 if is_of_the_past else operation.invocation
        answered = NEVER if is_of_the_past or operation.outcome == UNKNOWN else operation.completion
        begin = max(asked, self._times.not_before(revision))
        end = min(answered, self._times.not_after(revision + (not is_write)))
        rank = (2 * revision + (not is_write)) * RANKS + offset
        self._calls[key].append(Call(begin, end, _Done(step, operation), rank))


def _kind_of(command: Command) -> Kind:
    return Kind.PUT if command.operation == "put" else Kind.DELETE


def _keys_of(history: Iterable[Operation]) -> set[str]:
    keys = set[str]()
    for operation in history:
        if operation.operation != "range":
            keys.update(command.key for command in operation.writes())
            keys.update((operation.key,) if operation.operation == "get" else ())
        keys.update(item.key for item in items_of(operation))
    return keys
