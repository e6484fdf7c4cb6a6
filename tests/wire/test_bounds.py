"""Clients that ask too much, do not listen, or ask what nobody can answer now: the others go on."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from tests.wire.served import BATCH, ERROR, GET, PUT, RANGE, STATUS, WAIT_S, Served, Stranger, error_code, pack, serve
from zraft.actors.process import ProcessStats

pytestmark = pytest.mark.cluster

REQUESTS_MAX = 200
BYTES_MAX = 4 << 20
MIB = 1 << 20
PATIENCE_MS = 60_000
"""Of requests that are to be in flight still when others are not any more, however slow the machine."""
SOON_MS = 300
"""Of requests that come in one message, and so are in flight together whatever their time-out is."""


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    """A node with narrow bounds, some large values under ``large/``, and 10,000 keys under ``many/``."""
    with serve(module_path, client_requests_max=REQUESTS_MAX, client_bytes_max=BYTES_MAX) as served:
        with Stranger(served) as stranger:
            for number in range(3):
                assert stranger.ask([PUT, b"large/%d" % number, bytes(3 * MIB // 2 - 100)])[1] is True
            assert stranger.ask([BATCH, [[PUT, b"many/%04d" % number, bytes(64)] for number in range(10_000)]])[0]
        yield served


def header(timeout_ms: int) -> bytes:
    return pack([1, b"", timeout_ms])


def kinds(answers: list[tuple[bytes, Any]]) -> Counter[str]:
    """How often which error, or "done"."""
    return Counter(error_code(answer) if answer[0] == ERROR else "done" for _, answer in answers)


# --- no leader can answer


def test_writes_end_as_unknown_and_reads_as_unavailable_in_the_clients_time(served: Served, stranger: Stranger) -> None:
    with served.paused_trio():
        # Until then reads are served under the lease that the leader got last.
        wait_until(lambda: stranger.ask([GET, b"k"], header=header(50))[0] == ERROR, WAIT_S, "the end of the lease")
        with Stranger(served) as patient:
            patient.send([GET, b"k"], header=header(PATIENCE_MS))
            assert patient.ask([STATUS], header=header(PATIENCE_MS))[0] == STATUS  # which the gateway took behind it
            began = time.monotonic()
            stranger.send([PUT, b"k", b"v"], [GET, b"k"], [RANGE, b"k"], [BATCH, [[GET, b"k"]]], header=header(SOON_MS))
            answers = stranger.receive_all(4)
            assert time.monotonic() - began >= SOON_MS / 1000
            assert not patient.socket.poll(0), "whoever has more time still waits"
        assert [error_code(answer) for _, answer in answers] == ["Unknown"] + ["Unavailable"] * 3
    served.wait_until_ready()
    assert stranger.ask([PUT, b"k", b"v"])[1] is True


def test_serializable_reads_and_status_go_on_without_a_leader(served: Served, stranger: Stranger) -> None:
    assert stranger.ask([PUT, b"serializable", b"v"])[1] is True
    with served.paused_trio():
        for _ in range(20):
            assert stranger.ask([GET, b"serializable", True])[2] == b"v"
            assert stranger.ask([RANGE, b"serializable", b"", None, 0, 0, True])[1][0][1] == b"v"
            assert stranger.ask([STATUS])[0] == STATUS
    served.wait_until_ready()


def test_what_never_left_the_gateway_was_certainly_not_executed(served: Served, stranger: Stranger) -> None:
    """Four proposals are in flight; what came behind them waits here, until its time is up."""
    with served.paused_trio():
        for number in range(1, 7):
            time_out = header(PATIENCE_MS if number <= 4 else SOON_MS)
            stranger.send([PUT, b"queued", b"%d" % number], header=time_out, first=number)
            with Stranger(served) as other:
                assert other.ask([STATUS])[0] == STATUS  # the gateway has had a turn since
        told = [(name, error_code(answer)) for name, answer in stranger.receive_all(2)]
    assert told == [(b"5", "Unavailable"), (b"6", "Unavailable")]
    assert [name for name, _ in stranger.receive_all(4)] == [b"1", b"2", b"3", b"4"]
    served.wait_until_ready()
    assert stranger.ask([GET, b"queued"])[2] in (None, b"1", b"2", b"3", b"4")


def test_in_flight_are_so_many_and_no_more(served: Served, stranger: Stranger) -> None:
    with served.paused_trio():
        stranger.send(*([PUT, b"k", b"v"] for _ in range(REQUESTS_MAX + 50)), header=header(SOON_MS))
        answers = stranger.receive_all(REQUESTS_MAX + 50)
        refused = [name for name, answer in answers if error_code(answer) == "ResourceExhausted"]
        assert refused == [b"%d" % number for number in range(REQUESTS_MAX + 1, REQUESTS_MAX + 51)]
        assert kinds(answers) == {"Unknown": REQUESTS_MAX, "ResourceExhausted": 50}
        stranger.send(*([PUT, b"k", bytes(MIB)] for _ in range(5)), header=header(SOON_MS))
        assert kinds(stranger.receive_all(5))["ResourceExhausted"] == 2
        with Stranger(served) as other:
            other.send([PUT, b"k", b"v"], header=header(SOON_MS))
            assert kinds(other.receive_all(1)) == {"Unknown": 1}, "it has bounds of its own"
    served.wait_until_ready()
    assert stranger.ask([PUT, b"k", b"v"])[1] is True


# --- clients that ask too much


def answered(stranger: Stranger) -> int:
    """How many answers have arrived since the last time."""
    count = 0
    while stranger.socket.poll(0):
        count += len(stranger.receive())
    return count


def gateway_bytes(served: Served) -> int:
    stats = ProcessStats.of(served.roster().actors["gateway"])
    assert stats
    return stats.resident_bytes


def test_a_client_that_reads_no_answers_costs_bounded_memory_and_stops_nobody(
    served: Served, stranger: Stranger
) -> None:
    before = gateway_bytes(served)
    with Stranger(served, RCVHWM=1, RCVBUF=4096) as deaf:
        for _ in range(200):  # 900 MB of answers
            deaf.send([RANGE, b"large/", b"", None, 0, 0, True])
            assert stranger.ask([GET, b"large/0", True])[1] is True
            assert stranger.ask([PUT, b"k", b"v"])[1] is True
        assert gateway_bytes(served) - before < 150 * MIB
        # It listens again: what was kept for it is still there, and all else was refused.
        answers = [*deaf.receive(), *deaf.receive()]
        assert kinds(answers).keys() <= {"done", "ResourceExhausted"}
    assert stranger.ask([PUT, b"k", b"v"])[1] is True


def test_a_client_with_much_to_read_is_served_beside_the_others(served: Served, stranger: Stranger) -> None:
    with Stranger(served) as greedy:
        assert greedy.ask([STATUS])[0] == stranger.ask([STATUS])[0] == STATUS  # both are connected
        # Seconds of work with small answers: 10,000 keys are looked at, and none was there at revision 1.
        greedy.send(*([RANGE, b"many/", b"", None, 0, 1, True, True] for _ in range(REQUESTS_MAX)))
        assert stranger.ask([GET, b"many/0001", True])[1] is True  # serializable: it waits for the gateway only
        assert answered(greedy) < REQUESTS_MAX, "it is still being served"
        greedy.receive()


def test_clients_that_come_and_go_in_thousands_are_no_burden(served: Served, stranger: Stranger) -> None:
    """Each is told to the gateway as an event; were they not taken in time, all its sockets would stand still."""
    for _ in range(15):
        crowd = [Stranger(served) for _ in range(100)]
        for one in crowd:
            one.send([STATUS])
        for one in crowd:
            with one:
                one.receive()
        assert stranger.ask([GET, b"k", True])[0] == GET


def test_large_writes_at_once_all_have_an_answer(served: Served, stranger: Stranger) -> None:
    clients = [Stranger(served) for _ in range(4)]
    for client in clients:
        client.send(*([PUT, b"bulk", bytes(MIB)] for _ in range(5)), header=header(20_000))
    found: Counter[str] = Counter()
    for client in clients:
        with client:
            found += kinds(client.receive_all(5))
    assert found == {"done": 12, "ResourceExhausted": 8}
    wait_until(lambda: stranger.ask([PUT, b"k", b"v"])[1] is True, WAIT_S, "a write")
