"""A second opinion on tiny histories: every order that real time allows, executed on a store, answers compared whole.

It shares nothing with the checker but the format. Others may write elsewhere, so revisions may be left out.
"""

import copy
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from tests.unit.verify.executing import Store
from zraft.verify.history import FAILED, UNKNOWN, Operation, Result


def is_linearizable(history: Sequence[Operation]) -> bool:
    asked = [one for one in history if not (one.outcome == FAILED and one.result is None)]
    mentioned = {revision for operation in history for revision in mentioned_in(operation)}
    return _fits(Store(), asked, sorted(mentioned))


def mentioned_in(operation: Operation) -> Iterator[int]:
    yield from (command.expected for command in operation.writes() if command.expected)
    result = operation.result
    if result is not None:
        for one in (result, *result.results):
            yield from (one.mod_revision, one.create_revision)
        for item in result.items:
            yield from (item.mod_revision, item.create_revision)


def _fits(store: Store, left: Sequence[Operation], mentioned: Sequence[int]) -> bool:
    if all(operation.outcome == UNKNOWN for operation in left):
        return True
    first_end = min(operation.completion for operation in left if operation.outcome != UNKNOWN)
    for operation in left:
        if operation.invocation > first_end:
            continue
        others = [one for one in left if one is not operation]
        if any(_fits(after, others, mentioned) for after in _executed(store, operation, mentioned)):
            return True
    return False


def _executed(store: Store, operation: Operation, mentioned: Sequence[int]) -> Iterator[Store]:
    """The store after the operation, if it answers as was told; foreign writes may come before."""
    if operation.outcome == UNKNOWN:
        size = len(operation.writes())
        bases = {revision - place for revision in mentioned for place in range(1, size + 1)}
        for base in sorted({store.revision, *(base for base in bases if base > store.revision)}):
            after = copy.deepcopy(store)
            after.revision = base
            _execute(after, operation)
            yield after
        return
    told = operation.result
    assert told is not None
    effects = sum(one.success and one.mod_revision > 0 for one in told.results or (told,)) if operation.writes() else 0
    base = max(operation.at, store.revision) if operation.at else operation.revision - effects
    if base >= store.revision:
        after = copy.deepcopy(store)
        after.revision = base
        if _execute(after, operation) == told:
            yield after


def _execute(store: Store, operation: Operation) -> Result:
    match operation.operation:
        case "get":
            result = store.get(operation.key, operation.at)
            # Of a read of the past the store's revision says nothing.
            return replace(result, revision=operation.revision) if operation.at else result
        case "range":
            return store.range(operation.key)
        case "batch":
            results = tuple(store.write(command) for command in operation.commands)
            return Result(revision=store.revision, results=results)
    return store.write(operation.writes()[0])
