"""Closed-loop load on a cluster, over plain DEALER sockets: what the first figures were measured with.

    python tools/load.py --endpoint 127.0.0.1:8081 --clients 2 --pipeline 128 --seconds 10

Each client process keeps ``pipeline`` requests outstanding, each with ``batch`` puts of random keys; ``--large-every N``
makes every N-th request a batch of 10,000, and ``--reads`` sends linearizable Gets instead. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from dataclasses import dataclass, field
from multiprocessing.queues import Queue

import zmq

from zraft.protocol.client import PROTOCOL_VERSION, Batch, ErrorResult, Get, Put, RequestHeader
from zraft.protocol.codec import encode, response

BATCH_MAX = 10_000


@dataclass
class Report:
    """What one client saw; latencies in seconds."""

    operations: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    stall: float = 0.0
    """The longest time without any answer."""


def body_of(options: argparse.Namespace, number: int, rng: random.Random) -> tuple[bytes, int]:
    """The next request and how many operations it has."""

    def key() -> bytes:
        return b"%016d" % rng.randrange(options.keys)

    if options.reads:
        return encode(Get(key())), 1
    large = options.large_every and number % options.large_every == options.large_every - 1
    count = BATCH_MAX if large else options.batch
    value = bytes(64 if large else options.value_size)
    if count == 1:
        return encode(Put(key(), value)), 1
    return encode(Batch(tuple(Put(key(), value) for _ in range(count)))), count


def client(options: argparse.Namespace, seed: int, reports: Queue[Report]) -> None:
    """One connection with its requests outstanding, until the time is up and all answers are in."""
    rng = random.Random(seed)
    report = Report()
    outstanding: dict[bytes, tuple[float, int]] = {}
    header = encode(RequestHeader(PROTOCOL_VERSION, b"", 10_000))
    number = 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set_hwm(0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"tcp://{options.endpoint}")
        end = time.perf_counter() + options.seconds
        last = time.perf_counter()

        def send(count: int) -> None:
            nonlocal number
            pairs: list[bytes] = []
            for _ in range(count):
                body, operations = body_of(options, number, rng)
                number += 1
                request = number.to_bytes(8, "big")
                outstanding[request] = (time.perf_counter(), operations)
                pairs += (request, body)
            socket.send_multipart([b"", header, *pairs])

        send(options.pipeline)
        while outstanding and socket.poll(15_000):
            _, _, *pairs = socket.recv_multipart()
            now = time.perf_counter()
            report.stall = max(report.stall, now - last)
            last = now
            for request, body in zip(pairs[::2], pairs[1::2], strict=True):
                sent, operations = outstanding.pop(request)
                answer = response.decode(body)
                if isinstance(answer, ErrorResult):
                    report.errors[answer.code] = report.errors.get(answer.code, 0) + 1
                else:
                    report.operations += operations
                    report.latencies.append(now - sent)
            if now < end:
                send(len(pairs) // 2)
    if outstanding:
        report.errors["unanswered"] = len(outstanding)
    reports.put(report)


def main() -> None:
    """Run the clients and print what they saw together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="127.0.0.1:8081")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--pipeline", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--large-every", type=int, default=0)
    parser.add_argument("--reads", action="store_true")
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    reports: Queue[Report] = spawn.Queue()
    start = time.perf_counter()
    clients = [spawn.Process(target=client, args=(options, seed, reports)) for seed in range(options.clients)]
    for process in clients:
        process.start()
    done = [reports.get() for _ in clients]
    for process in clients:
        process.join()
    latencies = sorted(latency for report in done for latency in report.latencies) or [0.0]
    operations = sum(report.operations for report in done)
    errors: dict[str, int] = {}
    for report in done:
        for code, count in report.errors.items():
            errors[code] = errors.get(code, 0) + count
    print(
        json.dumps(
            {
                "operations_per_second": round(operations / options.seconds),
                "latency_ms": {
                    name: round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2)
                    for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0))
                },
                "operations": operations,
                "errors": errors,
                "longest_stall_ms": round(max(report.stall for report in done) * 1000, 1),
                "wall_seconds": round(time.perf_counter() - start, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
