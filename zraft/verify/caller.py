"""One client of a checked load: a call at a time, each with its time and its outcome."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any, Self, TypeVar

import msgspec

from zraft.client.core import Core
from zraft.client.links import Link
from zraft.errors import Compacted, ResourceExhausted, Unknown, ZraftError
from zraft.protocol.client import (
    Batch,
    BatchResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    KeyValue,
    Put,
    PutResult,
    Range,
    RangeResult,
    Request,
    Response,
)
from zraft.verify.history import FAILED, OK, UNKNOWN, Command, Item, Operation, Result

R = TypeVar("R", bound=Response)


class Caller:
    """A client; operations are written down, whatever becomes of them.

    Args:
        endpoints: where it may ask; each client begins with another one.
        client: its number.
        timeout: seconds that a call may take, repetitions included.
    """

    def __init__(self, endpoints: tuple[str, ...], client: int, timeout: float) -> None:
        first = client % len(endpoints)
        self._client = client
        self._timeout = timeout
        self._core = Core(endpoints[first:] + endpoints[:first], random.random)
        self._link = Link()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._link.close()

    def call(self, request: Request, answer: type[R]) -> R:
        """One request that no history needs.

        Raises:
            ZraftError: it failed, or nobody knows.
        """
        return self._link.run(self._core.call(request, answer, time.monotonic(), self._timeout))

    def write(self, *commands: Command) -> Operation:
        """Always as a batch: its answer tells the revision of a refused write too, which a lone one's does not."""
        asked: dict[str, Any] = {"operation": "batch", "commands": commands}
        if len(commands) == 1:
            (one,) = commands
            asked = {"operation": one.operation, "key": one.key, "value": one.value, "expected": one.expected}
        invocation = time.monotonic_ns()
        try:
            answer = self.call(Batch(tuple(map(_request_of, commands))), BatchResult)
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
            answer = self.call(Get(key.encode()), GetResult)
        except ZraftError as error:
            return self._failed(asked, invocation, FAILED, error)
        return self._answered(asked, invocation, OK, _result_of(answer))

    def scan(self, prefix: str) -> Operation:
        """All keys that begin with the prefix, at one revision."""
        asked = {"operation": "range", "key": prefix}
        invocation = time.monotonic_ns()
        try:
            items, revision = self.items(prefix)
        except ZraftError as error:
            return self._failed(asked, invocation, FAILED, error)
        return self._answered(asked, invocation, OK, Result(revision=revision, items=tuple(map(_item_of, items))))

    def read_past(self, versions: list[tuple[str, int]]) -> Iterator[Operation]:
        """Keys as they were, each at a revision; those that are compacted by now are left out.

        One request goes only so far back, and leaves the rest to others.

        Raises:
            ZraftError: it failed.
        """
        while versions:
            gets = (Get(key.encode(), revision=revision) for key, revision in versions)
            invocation = time.monotonic_ns()
            answer = self.call(Batch(tuple(gets)), BatchResult)
            left: list[tuple[str, int]] = []
            outcomes = answer.outcomes
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

    def items(self, prefix: str, keys_only: bool = False) -> tuple[list[KeyValue], int]:
        """All keys that begin with the prefix, as they were at one revision, and that revision.

        Raises:
            Compacted: others write so much that this revision was compacted before all its pages were read.
            ZraftError: it failed otherwise.
        """
        request = Range(prefix=prefix.encode(), keys_only=keys_only)
        found: list[KeyValue] = []
        while True:
            page = self.call(request, RangeResult)
            found += page.items
            if not page.more:
                return found, page.revision
            request = msgspec.structs.replace(request, start=page.next_key, revision=page.revision)

    def _answered(self, asked: dict[str, Any], invocation: int, outcome: str, result: Result) -> Operation:
        return self._ended({**asked, "outcome": outcome, "revision": result.revision, "result": result}, invocation)

    def _failed(self, asked: dict[str, Any], invocation: int, outcome: str, error: ZraftError) -> Operation:
        return self._ended({**asked, "outcome": outcome, "error": f"{error.code}: {error}"}, invocation)

    def _ended(self, line: dict[str, Any], invocation: int) -> Operation:
        return Operation(client=self._client, invocation=invocation, completion=time.monotonic_ns(), **line)


def _request_of(command: Command) -> Put | Delete:
    if command.value is None:
        return Delete(command.key.encode(), command.expected)
    return Put(command.key.encode(), command.value.encode(), command.expected)


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
