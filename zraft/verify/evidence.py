"""What a history tells about revisions: which write got which, and which of its answers contradict each other.

Each effective write of the store has a revision of its own, and each answer tells the revision at which it was given.
So most of the order is not to be searched for: it is told, and has to be consistent. Here it is collected, and all is
checked that concerns more than one key:

- a revision belongs to one write, a value to one revision; a value that was read was written, to that key;
- what a client was told had no effect is never seen, and only what had a condition is refused;
- a revision of a key that no answer told to its writer is that of a write to this key which nobody saw;
- a range has each key once, in order, and none that was not asked for;
- who begins after somebody was told revision r reads at r or later, and writes later (real time);
- what a range found is not younger than the revision at which it was read;
- the writes of a batch have revisions that follow one another, also where its client was told nothing and somebody saw
  one of them (``batches``), and no answer of the present is from one among them but the last: it is seen whole or not
  at all.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from zraft.verify.batches import made_by, spans_of
from zraft.verify.history import OK, UNKNOWN, Command, HistoryError, Item, Operation, Result
from zraft.verify.model import Span

NEVER = 1 << 63
"""Later than every completion, in nanoseconds."""


class Violation(NamedTuple):
    """What can't be: a sentence, and the operations that show it, the last of them being the one too many."""

    what: str
    operations: tuple[Operation, ...]


class Write(NamedTuple):
    """One write of an operation: the ``place``-th of its batch, or its only one."""

    operation: Operation
    place: int
    command: Command


class Evidence:
    """What can be known of a history before anything is searched.

    Attributes:
        revisions: of each effective write its revision, by operation (its number in the history) and place.
        spans: by operation, of each batch of unknown outcome that was executed, as somebody saw: the store's revision
            before each of its writes, and behind the last.
        violations: what was found.
        times: when each revision was made.

    Raises:
        HistoryError: two puts write the same value.
    """

    def __init__(self, history: Sequence[Operation]) -> None:
        self.history = history
        self.violations: list[Violation] = []
        self.revisions: dict[tuple[int, int], int] = {}
        self.spans: dict[int, Sequence[Span]] = {}
        self._puts = _puts_of(history)
        self._owners: dict[int, tuple[int, int]] = {}
        for number, operation in enumerate(history):
            self._collect_answer(number, operation)
        for operation in history:
            for item in items_of(operation):
                self._collect_item(operation, item)
        self._complete_batches()
        self._check_batches()
        self._check_real_time()
        self.times = Times(self)
        self._check_unseen()

    def _collect_answer(self, number: int, operation: Operation) -> None:
        if operation.result is not None and not _is_sound(operation):
            self._fail("the answer contradicts itself", operation)
            return
        for place, result in enumerate(operation.write_results()):
            if result is not None and result.success and result.mod_revision:
                self._give(number, place, result.mod_revision, operation)

    def _collect_item(self, reader: Operation, item: Item) -> None:
        found = self._puts.get(item.value)
        if found is None or self._write(found).command.key != item.key:
            self._fail(f"nobody wrote {item.value!r} to {item.key}", reader)
            return
        writer = self._write(found).operation
        if not _is_sound_item(item):
            self._fail(f"the revisions of {item.key} contradict each other", writer, reader)
        if position_of(reader) < item.mod_revision:
            what = f"{item.key} of revision {item.mod_revision} is in a view of revision {position_of(reader)}"
            self._fail(what, writer, reader)
        refused = _is_refused(self._write(found))
        if refused:
            self._fail(
                f"{item.value!r} was written to {item.key}, and its writer was told that it was not", writer, reader
            )
        else:
            self._give(*found, item.mod_revision, reader)

    def _give(self, number: int, place: int, revision: int, teller: Operation) -> None:
        """A write has this revision, somebody says; teller is who."""
        if revision < 1:
            self._fail(f"a write has revision {revision}: they count from 1", teller)
            return
        known = self.revisions.setdefault((number, place), revision)
        owner = self._owners.setdefault(revision, (number, place))
        write = self._write((number, place))
        if known != revision:
            what = f"{write.command.key}: {_name(write.command)} has revision {known}, and revision {revision} too"
            self._fail(what, write.operation, teller)
        elif owner != (number, place):
            other = self._write(owner)
            what = f"revision {revision} is that of two writes, to {other.command.key} and to {write.command.key}"
            self._fail(what, other.operation, write.operation, teller)

    def _complete_batches(self) -> None:
        """Who saw one write of a batch knows that all of them were executed, whatever its client was told."""
        for number in sorted({number for number, _ in self.revisions}):
            operation = self.history[number]
            if operation.outcome == UNKNOWN and operation.commands:
                spans = spans_of(operation.commands, self._given(number))
                if spans is None:
                    self._fail_apart(number)
                    continue
                self.spans[number] = spans
                for place, revision in made_by(spans):
                    self._give(number, place, revision, operation)

    def _given(self, number: int) -> list[int | None]:
        return [self.revisions.get((number, place)) for place in range(len(self.history[number].commands))]

    def _check_batches(self) -> None:
        inner: dict[int, Operation] = {}
        for number, operation in enumerate(self.history):
            told = [revision for revision in self._given(number) if revision is not None]
            if not told:
                continue
            if operation.outcome != UNKNOWN and told != list(range(told[0], told[0] + len(told))):
                self._fail_apart(number)
            inner.update(dict.fromkeys(range(told[0], told[-1]), operation))
        for operation in () if not inner else self.history:
            for revision in _views_of(operation):
                batch = inner.get(revision, operation)
                if batch is not operation:
                    self._fail(f"an answer at revision {revision} is from the middle of a batch", batch, operation)
        for (number, _), revision in self.revisions.items() if inner else ():
            batch, operation = inner.get(revision, self.history[number]), self.history[number]
            if batch is not operation:
                self._fail(f"revision {revision} of another write is in the middle of a batch", batch, operation)

    def _check_real_time(self) -> None:
        """Sweep: the highest revision that anybody had been told when each operation began."""
        told = sorted((one for one in self.history if one.outcome != UNKNOWN), key=lambda one: one.completion)
        floor, teller, heard = 0, None, 0
        for number in sorted(range(len(self.history)), key=lambda number: self.history[number].invocation):
            operation = self.history[number]
            while heard < len(told) and told[heard].completion < operation.invocation:
                if position_of(told[heard]) > floor:
                    floor, teller = position_of(told[heard]), told[heard]
                heard += 1
            if teller is None or operation.serializable or operation.at:
                continue
            own = [self.revisions.get((number, place), NEVER) for place in range(len(operation.writes()))]
            results = (operation.result, *operation.write_results())
            answer = min((result.revision for result in results if result is not None), default=NEVER)
            if min(own, default=NEVER) <= floor:
                self._fail(f"a write got revision {min(own)} when {floor} had been told already", teller, operation)
            elif answer < floor:
                self._fail(f"an answer is from revision {answer} when {floor} had been told already", teller, operation)

    def _check_unseen(self) -> None:
        """A revision of a key that is no known write's is that of a put which nobody saw, and no other key's."""
        unseen: dict[str, list[int]] = {}
        for number, operation in enumerate(self.history):
            for place, command in enumerate(operation.writes()):
                if operation.outcome == UNKNOWN and command.value is not None and (number, place) not in self.revisions:
                    unseen.setdefault(command.key, []).append(operation.invocation)
        for operation in self.history:
            for key, revision in _told_of(operation):
                owner = self._owners.get(revision)
                if owner is None:
                    told = self.times.not_after(revision)
                    is_possible = any(invocation <= told for invocation in unseen.get(key, ()))
                else:
                    is_possible = self._write(owner).command.key == key
                if not is_possible:
                    self._fail(f"{key} can't have been written at revision {revision}", operation)

    def _write(self, owner: tuple[int, int]) -> Write:
        number, place = owner
        return Write(self.history[number], place, self.history[number].writes()[place])

    def _fail_apart(self, number: int) -> None:
        told = [revision for revision in self._given(number) if revision is not None]
        what = f"the writes of a batch have the revisions {told}, which do not follow one another"
        self._fail(what, self.history[number])

    def _fail(self, what: str, *operations: Operation) -> None:
        self.violations.append(Violation(what, operations))


class Times:
    """When each revision was made, as narrowly as the whole history tells it.

    A revision was there when somebody was told of it or of a later one, and not before the write of it, or of an
    earlier one, was asked for. With its bounds taken from all keys, an order of each key by itself is enough.
    """

    def __init__(self, evidence: Evidence) -> None:
        history = evidence.history
        made = sorted((revision, history[number].invocation) for (number, _), revision in evidence.revisions.items())
        told = sorted(
            (position_of(one), one.completion) for one in history if one.outcome != UNKNOWN and position_of(one)
        )
        self._made = [revision for revision, _ in made]
        self._begins = list(itertools.accumulate((time for _, time in made), max))
        self._told = [revision for revision, _ in told]
        self._ends = list(itertools.accumulate((time for _, time in reversed(told)), min))[::-1]

    def not_before(self, revision: int) -> int:
        """The store was not at this revision before that time."""
        found = bisect_right(self._made, revision)
        return self._begins[found - 1] if found else 0

    def not_after(self, revision: int) -> int:
        """The store was at this revision, or behind it, at that time; ``NEVER`` if nobody was told."""
        found = bisect_left(self._told, revision)
        return self._ends[found] if found < len(self._ends) else NEVER


def position_of(operation: Operation) -> int:
    """The revision at which the answer was given; 0 if there was none."""
    return operation.at if operation.at and operation.result else operation.revision


def items_of(operation: Operation) -> Iterable[Item]:
    """The keys that a read found."""
    result = operation.result
    if result is None or operation.writes():
        return ()
    if operation.operation == "range":
        return result.items
    if result.found and result.value is not None:
        found = (result.value, result.create_revision, result.mod_revision, result.version)
        return (Item(operation.key, *found),)
    return ()


def _puts_of(history: Sequence[Operation]) -> dict[str, tuple[int, int]]:
    puts: dict[str, tuple[int, int]] = {}
    for number, operation in enumerate(history):
        if operation.outcome == OK and operation.result is None:
            raise HistoryError(f"operation {number} ended as ok, and has no result: write down what it was told")
        for place, command in enumerate(operation.writes()):
            if command.value is not None and puts.setdefault(command.value, (number, place)) != (number, place):
                raise HistoryError(f"two puts write {command.value!r}: a history needs a value of its own for each")
    return puts


def _is_sound(operation: Operation) -> bool:
    """Whether the parts of one answer agree: a write that took effect made the revision that it tells."""
    commands, results = operation.writes(), operation.write_results()
    last = operation.result.revision if operation.result else 0
    if operation.revision != last or len(commands) != len(results):
        return False
    if operation.operation == "range" and operation.result and not _is_sound_range(operation.key, operation.result):
        return False
    at, had_effect = -1, True  # the revision before the next command, and whether the last one made it
    for command, result in zip(commands, results, strict=True):
        if result is None or result.mod_revision > result.revision:
            return False
        finds_nothing = command.operation == "delete" and not result.found
        has_effect = result.success and not finds_nothing
        if result.success and result.mod_revision != (result.revision if has_effect else 0):
            return False
        if has_effect and result.mod_revision < 1:
            return False
        if not result.success and command.expected is None:  # nothing was there to fail
            return False
        if not result.success and not result.mod_revision and result.found:
            return False
        if not result.success and result.mod_revision and finds_nothing:
            return False
        if result.success and finds_nothing and command.expected:  # a key that is absent has no revision
            return False
        # The commands of a batch follow one another; of those that have an effect more is said elsewhere.
        if at >= 0 and not (has_effect and had_effect) and result.revision != at + has_effect:
            return False
        at, had_effect = result.revision, has_effect
    return at in (-1, last)


def _is_sound_range(prefix: str, result: Result) -> bool:
    """Each key once, in order, and no other than was asked for."""
    keys = [item.key.encode() for item in result.items]
    return all(one < two for one, two in itertools.pairwise(keys)) and all(
        item.key.startswith(prefix) for item in result.items
    )


def _told_of(operation: Operation) -> Iterator[tuple[str, int]]:
    """(key, revision of a put to it), as an answer told it beside the revisions of the writes themselves."""
    for item in items_of(operation):
        yield item.key, item.create_revision
        yield item.key, item.mod_revision
    for command, result in zip(operation.writes(), operation.write_results(), strict=False):
        if result is not None and not result.success and result.mod_revision:
            yield command.key, result.mod_revision
        elif result is not None and result.success and command.expected:
            yield command.key, command.expected


def _is_sound_item(item: Item) -> bool:
    later, puts = item.mod_revision - item.create_revision, item.version - 1
    return 0 <= puts <= later and (puts == 0) == (later == 0)


def _views_of(operation: Operation) -> Iterator[int]:
    """The revisions of the present at which it saw something, without changing it."""
    if operation.result is not None and not operation.at:
        results = operation.write_results()
        yield from (one.revision for one in results if one is not None and not (one.success and one.mod_revision))
        yield from () if results else (operation.revision,)


def _is_refused(write: Write) -> bool:
    if write.operation.outcome == UNKNOWN:
        return False
    results = write.operation.write_results()
    result = results[write.place] if write.place < len(results) else None
    return result is None or not result.success


def _name(command: Command) -> str:
    return f"put of {command.value!r}" if command.operation == "put" else "delete"
