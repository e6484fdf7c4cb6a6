"""The requests that a load makes."""

import itertools
import random

from zraft.bench.load import FILL_BYTES, LARGE_BATCH, LARGE_VALUE_BYTES, Load, Work, fill_of, requests_of
from zraft.protocol.requests import Batch, Get, Put
from zraft.protocol.responses import BatchResult, GetResult, PutResult


def first(load: Load, count: int) -> list[Work]:
    return list(itertools.islice(requests_of(load, random.Random(1)), count))


def load_of(**settings: object) -> Load:
    return Load(endpoints=("a:1",), **settings)  # type: ignore[arg-type]


def test_a_load_of_puts_is_puts_of_its_keys_and_sizes() -> None:
    works = first(load_of(keys=4, value_size=7), 200)
    puts = [work.request for work in works if isinstance(work.request, Put)]
    assert [(work.answer, work.operations) for work in works] == [(PutResult, 1)] * 200
    assert {put.key for put in puts} == {b"bench/%010d" % number for number in range(4)}
    assert {len(put.value) for put in puts} == {7}
    assert len(puts) == 200


def test_a_share_of_the_requests_are_reads() -> None:
    works = first(load_of(read_ratio=0.25, consistency="serializable"), 2_000)
    reads = [work for work in works if isinstance(work.request, Get)]
    assert 400 < len(reads) < 600
    assert {work.answer for work in reads} == {GetResult}
    assert all(isinstance(work.request, Get) and work.request.serializable for work in reads)
    assert {type(work.request) for work in first(load_of(read_ratio=1.0), 100)} == {Get}


def test_a_batch_is_all_writes_or_all_reads() -> None:
    works = first(load_of(batch=5, read_ratio=0.5), 100)
    kinds = set()
    for work in works:
        assert isinstance(work.request, Batch)
        assert (work.answer, work.operations, len(work.request.operations)) == (BatchResult, 5, 5)
        kinds.add(frozenset(map(type, work.request.operations)))
    assert kinds == {frozenset({Put}), frozenset({Get})}


def test_now_and_then_a_request_is_large() -> None:
    works = first(load_of(large_every=3), 7)
    assert [work.operations for work in works] == [1, 1, LARGE_BATCH, 1, 1, LARGE_BATCH, 1]
    request = works[2].request
    assert isinstance(request, Batch)
    assert {len(put.value) for put in request.operations if isinstance(put, Put)} == {LARGE_VALUE_BYTES}


def test_filling_writes_each_key_once() -> None:
    load = load_of(clients=3, keys=2_000, value_size=1000)
    keys: list[bytes] = []
    for client in range(3):
        for work in fill_of(load, client, random.Random(client)):
            assert isinstance(work.request, Batch)
            assert len(work.request.operations) * 1000 <= FILL_BYTES
            assert work.operations == len(work.request.operations)
            keys += [operation.key for operation in work.request.operations]
    assert sorted(keys) == [b"bench/%010d" % number for number in range(2_000)]
