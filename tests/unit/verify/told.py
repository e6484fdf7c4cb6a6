"""Operations as a history has them, in short: begin, end, and what was told."""

import itertools
from typing import Any

from zraft.verify import Command, Item, Operation, Result, check
from zraft.verify.history import FAILED, OK, UNKNOWN

A, B = "p/a", "p/b"
_clients = itertools.count()


def operation(begin: int, end: int, kind: str, **told: Any) -> Operation:
    times = {"invocation": begin, "completion": end}
    line: dict[str, Any] = {"client": next(_clients), "operation": kind, "outcome": OK, **times}
    return Operation(**line | told)


def put(begin: int, end: int, key: str, value: str, revision: int, **more: Any) -> Operation:
    result = Result(revision=revision, mod_revision=revision)
    return operation(begin, end, "put", key=key, value=value, revision=revision, result=result, **more)


def lost(begin: int, end: int, key: str, value: str, **more: Any) -> Operation:
    return operation(begin, end, "put", key=key, value=value, outcome=UNKNOWN, **more)


def refused(begin: int, end: int, key: str, value: str, expected: int, mod: int, revision: int) -> Operation:
    result = Result(success=False, revision=revision, mod_revision=mod)
    told = {"outcome": FAILED, "revision": revision, "result": result}
    return operation(begin, end, "put", key=key, value=value, expected=expected, **told)


def delete(begin: int, end: int, key: str, revision: int) -> Operation:
    result = Result(found=True, revision=revision, mod_revision=revision)
    return operation(begin, end, "delete", key=key, revision=revision, result=result)


def get(
    begin: int, end: int, key: str, revision: int, found: tuple[str, int, int, int] | None, **more: Any
) -> Operation:
    """What was found: value, create revision, mod revision, version."""
    result = Result(revision=revision)
    if found:
        value, create, mod, version = found
        told = {"create_revision": create, "mod_revision": mod, "version": version}
        result = Result(found=True, revision=revision, value=value, **told)  # type: ignore[arg-type]
    return operation(begin, end, "get", key=key, revision=revision, result=result, **more)


def scan(begin: int, end: int, revision: int, *items: Item, **more: Any) -> Operation:
    return operation(
        begin, end, "range", key="p/", revision=revision, result=Result(revision=revision, items=items), **more
    )


def batch(begin: int, end: int, *writes: tuple[str, str, int]) -> Operation:
    """Puts, each of key, value and revision."""
    results = tuple(Result(revision=revision, mod_revision=revision) for _, _, revision in writes)
    told = {"revision": results[-1].revision, "result": Result(revision=results[-1].revision, results=results)}
    return operation(
        begin, end, "batch", commands=tuple(Command("put", key, value) for key, value, _ in writes), **told
    )


def violations(*history: Operation) -> list[str]:
    return [violation.what for violation in check(history).violations]
