"""What a load consists of: its settings, and the requests that they make."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from zraft.client.arguments import Consistency
from zraft.protocol.requests import Batch, Delete, Get, Put, Request
from zraft.protocol.responses import BatchResult, GetResult, PutResult, Response

LARGE_BATCH = 10_000
LARGE_VALUE_BYTES = 64
FILL_BATCH_MAX = 500
FILL_BYTES = 256 << 10
"""Keys are written in advance by batches of about this size."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop: each connection has so many requests outstanding, and sends one more for each that has ended.

    Keys are drawn at random from ``keys`` different ones. A request is all writes or all reads; ``read_ratio`` is the
    share of the latter. Times are seconds, sizes bytes.
    """

    endpoints: tuple[str, ...]
    clients: int = 2
    """How many connections, each in a process of its own."""
    pipeline: int = 128
    """How many requests each of them has outstanding."""
    batch: int = 1
    """How many operations each request has."""
    value_size: int = 256
    keys: int = 100_000
    read_ratio: float = 0.0
    consistency: Consistency = "linearizable"
    """That of the reads."""
    seconds: float = 10.0
    timeout: float = 5.0
    """How long one request may take, repetitions included."""
    fill: bool = False
    """Whether each key is written once before the measurement."""
    spread: bool = False
    """Whether each connection stays with one endpoint and repeats nothing, instead of going to the leader."""
    large_every: int = 0
    """Each so-manieth request of a connection is a batch of 10,000 small puts; 0: none is."""


class Work(msgspec.Struct, frozen=True):
    """A request, the type of its answer, and how many operations it has."""

    request: Request
    answer: type[Response]
    operations: int


def requests_of(load: Load, rng: random.Random) -> Iterator[Work]:
    """What one connection sends, without end."""
    value, large_value = rng.randbytes(load.value_size), rng.randbytes(LARGE_VALUE_BYTES)
    large_left = load.large_every
    while True:
        large_left -= 1
        if large_left == 0:
            large_left = load.large_every
            yield _batch(_puts(load, rng, LARGE_BATCH, large_value))
        elif rng.random() < load.read_ratio:
            yield _reads(load, rng)
        elif load.batch == 1:
            yield Work(Put(_random_key(load, rng), value), PutResult, 1)
        else:
            yield _batch(_puts(load, rng, load.batch, value))


def fill_of(load: Load, client: int, rng: random.Random) -> Iterator[Work]:
    """This connection's share of the writes that set each key once."""
    size = max(1, min(FILL_BATCH_MAX, FILL_BYTES // (load.value_size + 1)))
    numbers = range(client, load.keys, load.clients)
    value = rng.randbytes(load.value_size)
    for begin in range(0, len(numbers), size):
        yield _batch(tuple(Put(_key(number), value) for number in numbers[begin : begin + size]))


def _reads(load: Load, rng: random.Random) -> Work:
    is_serializable = load.consistency == "serializable"
    if load.batch == 1:
        return Work(Get(_random_key(load, rng), is_serializable), GetResult, 1)
    return _batch(tuple(Get(_random_key(load, rng), is_serializable) for _ in range(load.batch)))


def _puts(load: Load, rng: random.Random, count: int, value: bytes) -> tuple[Put, ...]:
    return tuple(Put(_random_key(load, rng), value) for _ in range(count))


def _batch(operations: tuple[Put | Delete | Get, ...]) -> Work:
    return Work(Batch(operations), BatchResult, len(operations))


def _random_key(load: Load, rng: random.Random) -> bytes:
    return _key(int(rng.random() * load.keys))


def _key(number: int) -> bytes:
    return b"bench/%010d" % number
