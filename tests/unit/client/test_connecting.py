"""How long the client's policy waits for a connection, and what it says of one over which nothing ever came."""

import pytest

from tests.unit.client.calls import (
    FOUND,
    PUT,
    A,
    B,
    C,
    D,
    answer,
    get,
    play,
    put,
    where,
)
from zraft.client.core import Core
from zraft.client.steps import (
    NO_ANSWER,
    Fail,
    Go,
    Instruction,
    NotAnswered,
    NotSent,
    Send,
)
from zraft.errors import (
    Unavailable,
    Unknown,
)
from zraft.protocol.responses import ErrorResult, PutResult, Response


def time_to_connect(instruction: Instruction[Response], now: float) -> float:
    assert isinstance(instruction, Send)
    return instruction.connect_by - now


def test_of_an_endpoint_that_never_answered_it_is_asked_whether_it_is_one(core: Core) -> None:
    # A peer port takes connections, and is silent to clients. What a node tells of others is right, and may be down.
    silent = NotAnswered(NO_ANSWER)
    asked = "no answer in time, nor ever before (is it a node's client port?)"
    assert play(put(core), (Go(), 0.0), (silent, 4.0)) == [
        A,
        Fail(Unknown, f"a:1: {asked}; the write may have taken effect, or may still do so"),
    ]
    play(put(core, 4.5), (Go(), 4.5), (answer(ErrorResult("InvalidArgument", "no"), number=2, leader=D), 4.5))  # by B
    call = get(core, 4.6, timeout=0.3)
    assert play(call, (Go(), 4.6), (silent, 4.7), (silent, 4.8), (NotAnswered("the connection broke"), 4.9)) == [
        D,
        B,
        C,
        Fail(Unavailable, "d:1: no answer in time; b:1: no answer in time; c:1: the connection broke"),
    ]
    assert core.endpoints.is_unheard(C)
    assert not core.endpoints.is_unheard(D)


@pytest.mark.parametrize("timeout", [0.2, 0.5, 1.0])
def test_a_write_leaves_time_for_others_when_an_endpoint_takes_no_connection(core: Core, timeout: float) -> None:
    play(get(core), (Go(), 0.0), (answer(FOUND, leader=D), 0.0))
    call = put(core, timeout=timeout)
    half = timeout / 2
    assert time_to_connect(call.step(Go(), 0.0), 0.0) == pytest.approx(half)  # D, which is only a hint
    then = call.step(NotSent("no connection"), half)
    assert where(then) == A
    assert time_to_connect(then, half) == pytest.approx(half)


def test_a_node_far_away_can_be_reached_within_a_second(core: Core) -> None:
    # A connection takes three round trips: 0.4 s between continents.
    now = 0.4
    assert time_to_connect(put(core, timeout=1.0).step(Go(), 0.0), 0.0) > now
    call = put(core, timeout=1.0)
    call.step(Go(), 0.0)
    assert time_to_connect(call.step(NotSent("no connection"), 0.5), 0.5) > now  # also after one that is silent


def test_who_is_the_last_to_be_asked_has_all_the_time_to_connect(core: Core) -> None:
    alone = Core((A,), draw=lambda: 1.0, learns=False)
    assert time_to_connect(put(alone, timeout=0.6).step(Go(), 0.0), 0.0) == 0.6
    assert time_to_connect(core.call(PUT, PutResult, 0.0, 0.6, only=B).step(Go(), 0.0), 0.0) == 0.6
    call = put(core, timeout=0.6)
    lost = NotSent("refused")
    found = [time_to_connect(call.step(event, 0.0), 0.0) for event in (Go(), lost, lost)]
    assert found == [0.3, 0.3, 0.6]
