"""One client of a checked load: a call at a time, each with its time and its outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Self

from zraft.client import Client, Delete, Get, Put
from zraft.errors import Compacted, ResourceExhausted, Unknown, ZraftError
from zraft.protocol.responses import DeleteResult, GetResult, KeyValue, PutResult
from zraft.verify.history import FAILED, OK, UNKNOWN, Command, Item, Operation, Result


class Caller:
    """A client; operations are written down, whatever becomes of them.

    Args:
        endpoints: where it may ask; each client begins with another one.
        client: its number.
        timeout: seconds that a call may take, repetitions included.
    """

    def __init__(self, endpoints: tuple[str, ...], client: int, timeout: float) -> None:
        first = client % len(endpoints)
        self._number = client
        self._client = Client(endpoints[first:] + endpoints[:first], timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def write(self, *commands: Command) -> Operation:
        """Always as a batch: its answer tells the revision of a refused write too, which a lone one's does not."""
        asked: dict[str, Any] = {"operation": "batch", "commands": commands}
        if len(commands) == 1:
            (one,) = commands
            asked = {"operation": one.operation, "key": one.key, "value": one.value, "expected": one.expected}
        invocation = time.monotonic_ns()
        try:
            answer = self._client.batch(map(_operation_of, commands))
        except ZraftError as error:
            return self._failed(asked, invocation, UNKNOWN if isinstance(error, Unknown) else FAILED, error)
        results = tuple(map(_result_of, answer.results))
        result = results[0] if len(commands) == 1 else Result(revision=answer.revision, results=results)
        return self._answered(asked, invocation, OK if result.success else FAILED, result)

    def get(self, key: str) -> Operation:
        """A key as it is now."""
        asked = {"operation": "get", "key": key}
        invocation = time.monotonic_ns()
        try:
            answer = self._client.get(key)
        except ZraftError as error:
            return self._failed(asked, invocation, FAILED, error)
        return self._answered(asked, invocation, OK, _result_of(answer))

    def scan(self, prefix: str) -> Operation:
        """All keys that begin with the prefix, at one revision."""
        asked = {"operation": "range", "key": prefix}
        invocation = time.monotonic_ns()
        try:
            listing = self._client.range(prefix=prefix)
            items = tuple(map(_item_of, listing))
        except ZraftError as error:
            return self._failed(asked, invocation, FAILED, error)
        return self._answered(asked, invocation, OK, Result(revision=listing.revision, items=items))

    def read_past(self, versions: list[tuple[str, int]]) -> Iterator[Operation]:
        """Keys as they were, each at a revision; those that are compacted by now are left out.

        One request goes only so far back, and leaves the rest to others.

        Raises:
            ZraftError: it failed.
        """
        while versions:
            invocation = time.monotonic_ns()
            outcomes = self._client.batch(Get(key, revision) for key, revision in versions).outcomes
            left: list[tuple[str, int]] = []
            for (key, revision), outcome in zip(versions, outcomes, strict=True):
                match outcome:
                    case ResourceExhausted() if outcome is not outcomes[0]:
                        left.append((key, revision))
                    case Compacted():
                        pass
                    case ZraftError():
                        raise outcome
                    case _:
                        asked = {"operation": "get", "key": key, "at": revision}
                        yield self._answered(asked, invocation, OK, _result_of(outcome))
            versions = left

    def _answered(self, asked: dict[str, Any], invocation: int, outcome: str, result: Result) -> Operation:
        return self._ended({**asked, "outcome": outcome, "revision": result.revision, "result": result}, invocation)

    def _failed(self, asked: dict[str, Any], invocation: int, outcome: str, error: ZraftError) -> Operation:
        return self._ended({**asked, "outcome": outcome, "error": f"{error.code}: {error}"}, invocation)

    def _ended(self, line: dict[str, Any], invocation: int) -> Operation:
        return Operation(client=self._number, invocation=invocation, completion=time.monotonic_ns(), **line)


def _operation_of(command: Command) -> Put | Delete:
    if command.value is None:
        return Delete(command.key, command.expected)
    return Put(command.key, command.value, command.expected)


def _item_of(item: KeyValue) -> Item:
    return Item(item.key.decode(), item.value.decode(), item.create_revision, item.mod_revision, item.version)


def _result_of(answer: PutResult | DeleteResult | GetResult) -> Result:
    if isinstance(answer, GetResult):
        return Result(
            found=answer.found,
            revision=answer.revision,
            value=None if answer.value is None else answer.value.decode(),
            create_revision=answer.create_revision,
            mod_revision=answer.mod_revision,
            version=answer.version,
        )
    found = isinstance(answer, DeleteResult) and answer.found
    return Result(success=answer.success, found=found, revision=answer.revision, mod_revision=answer.mod_revision)
