"""Every operation of the wire, asked by hand-made bytes of a real node."""

from typing import Any

import pytest
import zmq

from tests.waiting import wait_until
from tests.wire.served import BATCH, DELETE, GET, PUT, RANGE, STATUS, Served, Stranger, error_code, pack

pytestmark = pytest.mark.cluster


def put(stranger: Stranger, key: bytes, value: bytes = b"v") -> int:
    """The revision that a put made."""
    kind, success, error, _, revision, mod, previous = stranger.ask([PUT, key, value])
    assert (kind, success, error, mod, previous) == (PUT, True, None, revision, None)
    return int(revision)


# --- a stock REQ socket


def test_a_stock_req_puts_gets_and_deletes(served: Served) -> None:
    with Stranger(served, zmq.REQ) as req:

        def ask(body: bytes) -> Any:
            req.socket.send_multipart([VERSION_AND_TIMEOUT, b"id", body])
            ((name, answer),) = req.receive()
            assert name == b"id"
            return answer

        key, value = b"\xc4\x03req", b"\xc4\x05value"
        kind, success, error, index, revision, mod, previous = ask(b"\x93\x01" + key + value)
        assert (kind, success, error, mod, previous) == (PUT, True, None, revision, None)
        assert index > 0
        assert ask(b"\x92\x04" + key) == [GET, True, b"value", None, revision, revision, revision, 1, 0]
        _, success, error, later, gone, mod, found, previous = ask(b"\x92\x02" + key)
        assert (success, error, gone, mod, found, previous) == (True, None, revision + 1, gone, True, None)
        assert later > index
        assert ask(b"\x92\x04" + key) == [GET, False, None, None, gone, 0, 0, 0, 0]


VERSION_AND_TIMEOUT = b"\x93\x01\xc4\x00\xcd\x13\x88"  # version 1, any cluster, 5,000 ms


def test_every_answer_says_who_answers_and_who_leads(served: Served, stranger: Stranger) -> None:
    put(stranger, b"header")
    version, cluster, node, leader, endpoint, term = stranger.header
    assert (version, len(cluster), node, leader) == (1, 16, "node-1", "node-1")
    assert endpoint == f"127.0.0.1:{served.node.settings.port}"
    assert term > 0


def test_status_is_the_nodes_own_view(stranger: Stranger) -> None:
    revision = put(stranger, b"status")
    # Storage tells a result before it publishes how far it has come.
    answer = wait_until(lambda: one if (one := stranger.ask(b"\x91\x06"))[12] == revision else None, 5, "the revision")
    tag, node, state, term, leader, peers, commit, applied, member, cluster, first, last, shown, notice = answer[:14]
    assert (tag, node, state, leader, peers, notice) == (STATUS, "node-1", "leader", "node-1", [], "")
    assert (len(member), cluster, first) == (16, stranger.header[1].hex(), 1)
    assert commit == applied == last >= 2
    assert (shown, term) == (revision, stranger.header[5])
    assert answer[14:16] == [0, 0]  # nothing is compacted, and there is no snapshot
    # Of log and state: stock is taken now and then.
    wait_until(lambda: min(stranger.ask(b"\x91\x06")[16:18]) > 0, 5, "bytes of log and state")


# --- several requests in one message


def test_pairs_of_one_message_are_answered_each_under_its_name(stranger: Stranger) -> None:
    stranger.send(*([PUT, b"pair%d" % number, b"%d" % number] for number in range(20)))
    answers = stranger.receive_all(20)
    assert [name for name, _ in answers] == [b"%d" % number for number in range(1, 21)]
    revisions = [answer[4] for _, answer in answers]
    assert revisions == list(range(revisions[0], revisions[0] + 20)), "they are executed in their order"
    stranger.send([GET, b"pair7"], [STATUS], b"\xc1", [GET, b"pair8", True])
    got, status, wrong, serializable = (answer for _, answer in stranger.receive_all(4))
    assert (got[2], status[0], error_code(wrong), serializable[2]) == (b"7", STATUS, "InvalidArgument", b"8")


def test_names_are_opaque_even_if_empty_or_equal(stranger: Stranger) -> None:
    body = pack([STATUS])
    stranger.send_frames(b"", b"\x91\x01", b"", body, b"\x00" * 16, body, b"twin", body, b"twin", body)
    names: list[bytes] = []
    while len(names) < 4:
        names += [name for name, _ in stranger.receive()]
    assert sorted(names) == [b"", b"\x00" * 16, b"twin", b"twin"]


# --- preconditions and previous values


def test_a_put_on_condition(stranger: Stranger) -> None:
    def put_if(expected: int, value: bytes) -> Any:
        return stranger.ask([PUT, b"condition", value, expected, True])

    _, success, error, _, first, mod, previous = put_if(0, b"1")
    assert (success, error, mod, previous) == (True, None, first, None)
    _, success, error, _, revision, mod, previous = put_if(0, b"2")
    assert (success, revision, mod, previous) == (False, first, first, None)
    assert error[0] == "PreconditionFailed"
    _, success, error, _, second, mod, previous = put_if(first, b"2")
    assert (success, error, mod) == (True, None, second)
    assert previous == [b"condition", b"1", first, first, 1, 0]
    assert stranger.ask([GET, b"condition"]) == [GET, True, b"2", None, second, first, second, 2, 0]


def test_a_delete_on_condition(stranger: Stranger) -> None:
    revision = put(stranger, b"to delete", b"old")
    _, success, error, _, _, mod, found, _ = stranger.ask([DELETE, b"to delete", revision + 1])
    assert (success, error[0], mod, found) == (False, "PreconditionFailed", revision, True)
    _, success, error, _, gone, mod, found, previous = stranger.ask([DELETE, b"to delete", revision, True])
    assert (success, error, mod, found) == (True, None, gone, True)
    assert previous == [b"to delete", b"old", revision, revision, 1, 0]
    _, success, error, _, revision, mod, found, previous = stranger.ask([DELETE, b"to delete", 0, True])
    assert (success, error, revision, mod, found, previous) == (True, None, gone, 0, False, None)


# --- batches


def test_a_batch_of_writes_has_a_result_and_a_revision_for_each(stranger: Stranger) -> None:  # S11
    before = put(stranger, b"b1")
    operations = [[PUT, b"b1", b"x"], [DELETE, b"none"], [PUT, b"b2", b"y", 99], [DELETE, b"b1"], [PUT, b"b3", b"z"]]
    tag, results, index, revision = stranger.ask([BATCH, operations])
    assert (tag, revision) == (BATCH, before + 3)
    assert [result[:2] + result[3:6] for result in results] == [
        [PUT, True, index, before + 1, before + 1],
        [DELETE, True, index, before + 1, 0],
        [PUT, False, index, before + 1, 0],
        [DELETE, True, index, before + 2, before + 2],
        [PUT, True, index, before + 3, before + 3],
    ]
    assert results[2][2][0] == "PreconditionFailed"


def test_a_batch_of_gets_is_one_view(stranger: Stranger) -> None:
    revision = put(stranger, b"g1", b"1")
    for serializable in (False, True):
        tag, results, index, seen = stranger.ask(
            [BATCH, [[GET, b"g1", serializable], [GET, b"absent", serializable], [GET, b"g1", serializable, 1]]]
        )
        assert (tag, index, seen) == (BATCH, 0, revision)
        assert [result[1:3] for result in results] == [[True, b"1"], [False, None], [False, None]]


def test_a_batch_of_ten_thousand_writes(stranger: Stranger) -> None:
    tag, results, _, revision = stranger.ask([BATCH, [[PUT, b"many%d" % n, b"v"] for n in range(10_000)]])
    assert (tag, len(results), results[-1][4]) == (BATCH, 10_000, revision)
    tag, results, _, _ = stranger.ask([BATCH, [[GET, b"many%d" % n] for n in range(10_000)]])
    assert (tag, all(result[1] for result in results)) == (BATCH, True)


def test_values_beyond_an_answers_size_are_left_to_another_request(stranger: Stranger) -> None:
    put(stranger, b"large", bytes(1_500_000))
    put(stranger, b"small")
    tag, results, _, _ = stranger.ask([BATCH, [*([GET, b"large"] for _ in range(2_000)), [GET, b"small"]]])
    assert tag == BATCH
    assert [len(result[2]) for result in results if result[1]] == [1_500_000] * 2
    assert {result[3][0] for result in results[2:]} == {"ResourceExhausted"}


# --- history and ranges


def test_a_key_is_read_as_it_was_at_a_revision(stranger: Stranger) -> None:
    first = put(stranger, b"history", b"1")
    second = put(stranger, b"history", b"2")
    stranger.ask([DELETE, b"history"])
    values = [stranger.ask([GET, b"history", False, at])[1:3] for at in (first - 1, first, second, second + 1)]
    assert values == [[False, None], [True, b"1"], [True, b"2"], [False, None]]
    tag, found, value, error, _, *_ = stranger.ask([GET, b"history", False, 2**62])
    assert (tag, found, value, error[0]) == (GET, False, None, "InvalidArgument")


def keys_of(answer: Any) -> list[bytes]:
    return [item[0] for item in answer[1]]


def test_a_range_by_prefix_and_bounds(stranger: Stranger) -> None:
    for name in (b"r", b"r/a", b"r/b", b"r/c", b"r0"):
        put(stranger, name)
    cases = {
        (b"r/",): [b"r/a", b"r/b", b"r/c"],
        (b"", b"r/b", b"r0"): [b"r/b", b"r/c"],
        (b"r/", b"r/b", None): [b"r/b", b"r/c"],
        (b"r/", b"a", b"r/b"): [b"r/a"],
        (b"r/", b"r0", None): [],
        (b"", b"r/b", b"r/a"): [],
        (b"", b"r", b"r\x00"): [b"r"],
    }
    for bounds, keys in cases.items():
        answer = stranger.ask([RANGE, *bounds])
        assert (keys_of(answer), answer[2:4]) == (keys, [False, b""]), bounds


def test_a_range_goes_on_at_one_revision_while_writes_go_on(stranger: Stranger) -> None:
    last = [put(stranger, b"page/%d" % number, b"before") for number in range(10)][-1]
    items: list[Any] = []
    start, revision, more = b"", 0, True
    while more:
        _, page, more, start, revision = stranger.ask([RANGE, b"page/", start, None, 3, revision])
        items += page
        put(stranger, b"page/%d" % len(items), b"changed")
        stranger.ask([DELETE, b"page/9"])
        put(stranger, b"page/5a", b"new")
    assert revision == last
    assert [item[:2] for item in items] == [[b"page/%d" % number, b"before"] for number in range(10)]


def test_a_range_of_keys_only(stranger: Stranger) -> None:
    revision = put(stranger, b"only/a", b"value")
    answer = stranger.ask([RANGE, b"only/", b"", None, 0, 0, False, True])
    assert answer[1] == [[b"only/a", b"", revision, revision, 1, 0]]


def test_a_range_stops_at_an_answers_size_and_goes_on(stranger: Stranger) -> None:
    for number in range(4):
        put(stranger, b"big/%d" % number, bytes(1_500_000))
    tag, items, more, start, revision = stranger.ask([RANGE, b"big/"])
    assert (tag, [item[0] for item in items], more, start) == (RANGE, [b"big/0", b"big/1", b"big/2"], True, b"big/3")
    _, items, more, start, _ = stranger.ask([RANGE, b"big/", start, None, 0, revision])
    assert ([item[0] for item in items], more, start) == ([b"big/3"], False, b"")


@pytest.mark.parametrize("serializable", [False, True], ids=["linearizable", "serializable"])
def test_a_read_sees_the_own_write_before_it(stranger: Stranger, serializable: bool) -> None:
    for number in range(50):
        revision = put(stranger, b"fresh", b"%d" % number)
        answer = stranger.ask([GET, b"fresh", serializable])
        assert (answer[2], answer[6]) == (b"%d" % number, revision)
