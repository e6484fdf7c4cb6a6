"""A real node takes the golden frames, and its answers can be read with nothing but the schemas."""

from typing import Any

import pytest
import zmq

from tests.wire.by_schema import RECORDS, read_frame
from tests.wire.served import WAIT_MS, Served, Stranger, error_code
from tools import golden

pytestmark = pytest.mark.cluster

FRAMES = {line["name"]: line for line in golden.load("client.jsonl")}
REQUESTS = [line for line in FRAMES.values() if line["frame"] == "request"]
HEADER = bytes.fromhex(FRAMES["request header, any cluster"]["hex"])
# What this node can't do: it may not have the revision yet or any more, its version reserves the field, or there is no
# other node that could lead, or leave.
REFUSED = {
    *("put, reserved fields", "delete, reserved fields"),
    *("range, continued", "range, bounds", "compact", "compact, shortest", "compact, go on"),
    *("transfer leadership", "transfer leadership, shortest", "change member, remove"),
}


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_a_node_takes_the_golden_requests(served: Served, kind: int) -> None:
    with Stranger(served, kind) as stranger:
        for line in REQUESTS:
            [record], [answer] = line["value"], ask(stranger, bytes.fromhex(line["hex"]))
            is_refused = answer == "ErrorResult" and line["name"] in REFUSED
            assert is_refused or answer == RECORDS[record]["answer"], line["name"]


def test_a_node_refuses_the_golden_bad_requests(stranger: Stranger) -> None:
    for line in golden.load("refused.jsonl"):
        answer = ask(stranger, bytes.fromhex(line["hex"]))
        assert answer["ErrorResult"]["code"] == line["error"], line["name"]


@pytest.mark.parametrize("line", golden.load("refused_messages.jsonl"), ids=lambda line: line["name"])
def test_a_node_refuses_the_golden_bad_messages(stranger: Stranger, line: golden.Line) -> None:
    stranger.send_frames(*map(bytes.fromhex, line["frames"]))
    answers = sorted(stranger.receive())
    assert [(name.hex(), error_code(answer)) for name, answer in answers] == [
        (name, line["error"]) for name in line["ids"]
    ]


def ask(stranger: Stranger, body: bytes) -> Any:
    """The answer, as golden files have it."""
    empty = [b""] if stranger.socket.type == zmq.DEALER else []
    stranger.send_frames(*empty, HEADER, b"id", body)
    assert stranger.socket.poll(WAIT_MS), "silence"
    *empties, header, number, answer = stranger.socket.recv_multipart()
    assert (empties, number) == (empty, b"id")
    assert read_frame("response_header", header)["ResponseHeader"]["node"] == "node-1"
    return read_frame("response", answer)
