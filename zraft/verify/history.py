"""The history of a load: what clients asked, what they were told, and when. One JSON object a line.

::

    {
        "client": 3,
        "operation": "put",
        "key": "p/k1",
        "value": "3.17",
        "invocation": 1200,
        "completion": 1900,
        "outcome": "ok",
        "revision": 42,
        "result": {"revision": 42, "mod_revision": 42},
    }

======================  ==========================================================================================
field                   meaning
======================  ==========================================================================================
client                  a number; the operations of one client follow one another
operation               ``put``, ``delete``, ``get``, ``range`` or ``batch`` (writes, in one entry of the log)
key                     of a range: the prefix of all keys that it reads
value                   what a put writes; no two puts of a history write the same
expected                precondition: the key's mod revision must be this one; 0: the key must be absent
at                      of a get: the revision asked for; 0 or missing: now
serializable            a read of one node's own state, which may lag behind
commands                of a batch: its writes, each with operation, key, value and expected
outcome                 ``ok``: answered; ``failed``: certainly no effect; ``unknown``: a write that may have taken
                        effect, or may do so later
revision                the store's, as the answer told it; 0 or missing: there was no answer
result                  what the answer told (below); a put or delete whose precondition failed has one too
error                   why it failed or is unknown, for people
invocation, completion  nanoseconds of one clock for all clients, which never goes back; an unknown write's completion
                        is when its client gave up waiting, and says nothing
======================  ==========================================================================================

A result has ``success`` (false: the precondition failed), ``found`` (get, delete), ``revision`` (of the store, just
after this command), ``mod_revision`` (of the key: after a write its own, after a failed precondition the current one,
0 if absent), ``value``, ``create_revision`` and ``version`` of a get, ``items`` of a range (each with key, value and
revisions) and ``results`` of a batch, one for each command. Fields that have their default may be missing. Keys and
values are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One write, alone or of a batch."""

    operation: Literal["put", "delete"]
    key: str
    value: str | None = None
    expected: int | None = None


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key that a range found."""

    key: str
    value: str
    create_revision: int
    mod_revision: int
    version: int


class Result(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an answer told; which fields mean something depends on the operation (see the module)."""

    success: bool = True
    found: bool = False
    revision: int = 0
    value: str | None = None
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    items: tuple[Item, ...] = ()
    results: tuple[Result, ...] = ()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of a history."""

    client: int
    operation: Literal["put", "delete", "get", "range", "batch"]
    key: str = ""
    value: str | None = None
    expected: int | None = None
    at: int = 0
    serializable: bool = False
    commands: tuple[Command, ...] = ()
    outcome: Literal["ok", "failed", "unknown"]
    revision: int = 0
    result: Result | None = None
    error: str = ""
    invocation: int
    completion: int

    def writes(self) -> tuple[Command, ...]:
        """What it writes, in order; nothing if it is a read."""
        if self.operation == "put" or self.operation == "delete":
            return (Command(self.operation, self.key, self.value, self.expected),)
        return self.commands

    def write_results(self) -> tuple[Result | None, ...]:
        """What was told of each of its writes; None: nothing."""
        writes = self.writes()
        if self.result is None or not writes:
            return (None,) * len(writes)
        return self.result.results if self.operation == "batch" else (self.result,)


_decoder = msgspec.json.Decoder(Operation)


class HistoryError(ValueError):
    """It is no history: a line can't be read, or two puts write the same value."""


def line_of(operation: Operation) -> bytes:
    """An operation as a line of a history."""
    return msgspec.json.encode(operation) + b"\n"


def write_history(path: Path, history: Iterable[Operation]) -> None:
    """Write a whole history."""
    with path.open("wb") as file:
        file.writelines(map(line_of, history))


def read_history(path: Path) -> Iterator[Operation]:
    """The operations of a file.

    Raises:
        HistoryError: a line is none.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise HistoryError(f"{path}, line {number}: {error}") from None
