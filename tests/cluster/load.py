"""A workload that keeps account of what it was told, and a check that the cluster kept its word.

Every write has a value of its own, so each version of a key that is found tells which write made it. And every write
knows what had been told to anybody when it was invoked, so that the order in time can be checked against revisions.
"""

import enum
import itertools
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.waiting import wait_until
from zraft import Client, NotExecuted, PreconditionFailed, Unknown
from zraft.client import Get
from zraft.protocol.client import GetResult, KeyValue

WRITERS = 4
SHARED_KEYS = 48
TIMEOUT_S = 2.0
PROGRESS_S_MAX = 60.0
ANSWER_BYTES = 1 << 20


class Outcome(enum.Enum):
    """What a writer may conclude."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    NOT_EXECUTED = "certainly not executed"


@dataclass
class Write:
    """One put. ``floor``: the highest revision that any writer had been told when it was invoked."""

    writer: int
    key: bytes
    value: bytes
    floor: int
    expected: int | None = None
    outcome: Outcome = Outcome.UNKNOWN
    revision: int = 0


@dataclass
class Account:
    """What the writers were told. ``reads``: of each linearizable read its floor and the store's revision."""

    writes: list[Write] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)


class Load:
    """Writers that put until they are stopped, each through a client of its own; a context manager, and reusable."""

    def __init__(self, endpoints: Sequence[str], prefix: str = "load", value_bytes: int = 32) -> None:
        self.account = Account()
        self.prefix = prefix
        self._endpoints = tuple(endpoints)
        self._value_bytes = value_bytes
        self._told = 0
        self._telling = threading.Lock()
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._stop.clear()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()
        self.wait_for_progress()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self._errors == []

    def wait_for_progress(self, writes: int = 5) -> None:
        """Returns when each writer has had so many writes acknowledged that it invoked from now on."""
        begin = len(self.account.writes)

        def done() -> bool:
            assert self._errors == []
            told = [0] * WRITERS
            for write in self.account.writes[begin:]:
                told[write.writer] += write.outcome is Outcome.ACKNOWLEDGED
            return min(told) >= writes

        wait_until(done, PROGRESS_S_MAX, f"{writes} more acknowledged writes of each writer")

    def verify(self, client: Client) -> None:
        """Check the account against what is stored. Not while writers run."""
        found = histories(client, self.prefix, max(1, ANSWER_BYTES // self._value_bytes))
        faults = list(faults_of(self.account, found))
        assert faults[:20] == []

    def _run(self, writer: int) -> None:
        shift = writer % len(self._endpoints)
        endpoints = self._endpoints[shift:] + self._endpoints[:shift]
        rng = random.Random(writer)
        try:
            with Client(endpoints, timeout=TIMEOUT_S) as client:
                while not self._stop.is_set():
                    self._write(client, writer, rng)
        except BaseException as error:
            self._errors.append(error)

    def _write(self, client: Client, writer: int, rng: random.Random) -> None:
        number = next(self._numbers)
        kind = ("once", "overwritten", "compared")[rng.randrange(3)]
        key = f"{self.prefix}/{kind}/{number if kind == 'once' else rng.randrange(SHARED_KEYS)}".encode()
        expected = None
        if kind == "compared":
            floor = self._told
            try:
                read = client.get(key)
            except NotExecuted:
                return
            self.account.reads.append((floor, read.revision))
            expected = read.mod_revision
        write = Write(writer, key, f"{number}.".encode().ljust(self._value_bytes, b"-"), self._told, expected)
        self.account.writes.append(write)
        try:
            result = client.put(write.key, write.value, expected_revision=expected)
        except (NotExecuted, PreconditionFailed):
            write.outcome = Outcome.NOT_EXECUTED
        except Unknown:
            write.outcome = Outcome.UNKNOWN
        else:
            write.outcome, write.revision = Outcome.ACKNOWLEDGED, result.mod_revision
            with self._telling:
                self._told = max(self._told, result.mod_revision)


def histories(client: Client, prefix: str, answer_keys: int) -> dict[bytes, list[KeyValue]]:
    """Every version of every key, the oldest first, by linearizable reads."""
    found = {item.key: [item] for item in client.range(prefix=prefix)}
    while newer := [versions[-1] for versions in found.values() if versions[-1].version > 1]:
        for begin in range(0, len(newer), answer_keys):
            some = newer[begin : begin + answer_keys]
            results = client.batch(Get(one.key, revision=one.mod_revision - 1) for one in some).results
            for one, result in zip(some, results, strict=True):
                assert isinstance(result, GetResult)
                assert result.found, f"{one.key!r} was there before revision {one.mod_revision}: {result.error}"
                assert result.value is not None
                revisions = (result.create_revision, result.mod_revision, result.version)
                found[one.key].append(KeyValue(one.key, result.value, *revisions))
    return {key: versions[::-1] for key, versions in found.items()}


def faults_of(account: Account, found: Mapping[bytes, Sequence[KeyValue]]) -> Iterator[str]:
    """What was told and is not so: writes lost, executed twice, though refused or in the wrong order; stale reads."""
    writes = {write.value: write for write in account.writes}
    executed: dict[bytes, int] = {}
    taken: set[int] = set()
    for key, versions in found.items():
        before = 0
        for number, version in enumerate(versions, 1):
            revision, write = version.mod_revision, writes.get(version.value)
            where = f"{key.decode()} at revision {revision}"
            if version.version != number or revision <= before:
                yield f"{where}: version {version.version} is number {number}, behind revision {before}"
            if revision in taken:
                yield f"{where}: this revision is another key's as well"
            if write is None or write.key != key:
                yield f"{where}: nobody wrote {version.value!r} there"
            elif version.value in executed:
                yield f"{where}: executed already at revision {executed[version.value]}"
            else:
                yield from (f"{where}: {fault}" for fault in _faults_of(write, revision, before))
            executed[version.value] = before = revision
            taken.add(revision)
    for write in account.writes:
        if write.outcome is Outcome.ACKNOWLEDGED and write.value not in executed:
            yield f"{write.key.decode()}: acknowledged at revision {write.revision}, and lost"
    for floor, revision in account.reads:
        if revision < floor:
            yield f"a read saw revision {revision} when {floor} had been told"


def _faults_of(write: Write, revision: int, before: int) -> Iterator[str]:
    if write.outcome is Outcome.NOT_EXECUTED:
        yield "executed, and its writer was told that it was not"
    if write.outcome is Outcome.ACKNOWLEDGED and write.revision != revision:
        yield f"its writer was told revision {write.revision}"
    if revision <= write.floor:
        yield f"it was invoked when revision {write.floor} had been told"
    if write.expected not in (None, before):
        yield f"it expected revision {write.expected}, and {before} was there"
