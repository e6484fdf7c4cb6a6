"""Steps in the midst of others, of a signal's handler, and steps that are broken off: what calls share bears both."""

from functools import partial

from tests.interrupts import points
from zraft.client.core import Core
from zraft.client.endpoints import Endpoints
from zraft.client.steps import Answered, Go, NotSent, Return, Send
from zraft.protocol import codec
from zraft.protocol.requests import Get, RequestHeader
from zraft.protocol.responses import GetResult, MemberInfo, MembersResult, ResponseHeader

A, B, C, D, E = "a:1", "b:1", "c:1", "d:1", "e:1"
CLUSTER = b"0123456789abcdef"
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)


def core() -> Core:
    return Core((A, B, C), draw=lambda: 1.0, learns=False)


def ask(core: Core, leader: str, term: int, silent: bool = False) -> None:
    """A whole call, whose answer names a leader; perhaps by the second endpoint only."""
    call = core.call(Get(b"k"), GetResult, 0.0, 3.0)
    sent = call.step(Go(), 0.0)
    if silent:
        sent = call.step(NotSent("no connection"), 0.1)
    assert isinstance(sent, Send)
    header = ResponseHeader(1, CLUSTER, "node-1", "node", leader, term)
    assert call.step(Answered((codec.encode(header), sent.frames[1], codec.encode(FOUND))), 0.2) == Return(FOUND)


def next_asked(core: Core) -> tuple[str, RequestHeader]:
    """Whom the next call asks, and with what header."""
    sent = core.call(Get(b"k"), GetResult, 0.3, 3.0).step(Go(), 0.3)
    assert isinstance(sent, Send)
    return sent.endpoint, codec.request_header.decode(sent.frames[0])


def test_a_call_in_the_midst_of_anothers_step_counts() -> None:
    for point in points():
        shared = core()
        point.run(partial(ask, shared, D, 2, silent=True), ask, shared, C, 1)
        endpoint, header = next_asked(shared)
        assert endpoint == (D if point.came else C), point.number  # the later term's leader
        assert header.cluster == CLUSTER, point.number
    assert point.number > 50


def test_what_is_heard_in_the_midst_of_a_step_is_not_the_last_word() -> None:
    for point in points():
        shared = core()
        point.run(partial(ask, shared, D, 1), ask, shared, E, 1)
        ask(shared, D, 1)
        assert next_asked(shared)[0] == D, point.number
        ask(shared, E, 1)
        assert next_asked(shared)[0] == E, point.number


def test_a_step_that_is_broken_off_takes_nothing_from_the_next() -> None:
    for point in points():
        shared = core()
        point.interrupt(ask, shared, D, 2)
        ask(shared, D, 2)
        endpoint, header = next_asked(shared)
        assert (endpoint, header.cluster) == (D, CLUSTER), point.number
    assert point.number > 50


def test_silence_of_one_in_the_midst_of_anothers_is_borne() -> None:
    for point in points():
        endpoints = Endpoints((A, B, C, D, E), learns=False)
        for number, endpoint in enumerate((A, B)):
            endpoints.on_silence(endpoint, -200.0 + number)  # so long ago that it is forgotten now
        point.run(partial(endpoints.on_silence, D, 0.0), endpoints.on_silence, C, 0.0)
        assert list(endpoints.preferred(0.5, False))[:2] == [A, B], point.number
        assert C in list(endpoints.preferred(0.5, False))[2 + point.came :], point.number
    assert point.number > 5


def members(index: int, endpoint: str) -> MembersResult:
    return MembersResult(index, (MemberInfo("node-1", 1, True, "", endpoint),))


def test_members_told_in_the_midst_of_older_ones_stay() -> None:
    for point in points():
        endpoints = Endpoints((A,), learns=True)
        point.run(partial(endpoints.on_members, members(2, C), 1), endpoints.on_members, members(1, B), 1)
        assert endpoints.learned == ((C,) if point.came else (B,)), point.number
    assert point.number > 5
