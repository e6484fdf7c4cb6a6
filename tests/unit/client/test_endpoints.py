"""The endpoints that a client knows: those given, those that the cluster tells, and how the two go together."""

import pytest

from zraft.client.core import PAUSE_S_MIN, Call, Core
from zraft.client.endpoints import LEARN_EVERY_S, LEARN_PAUSE_S, Endpoints
from zraft.client.steps import Answered, Event, Go, NotAnswered, NotSent, Pause, Return, Send
from zraft.config import MEMBERS_MAX
from zraft.protocol import codec
from zraft.protocol.requests import Get, ListMembers, Put
from zraft.protocol.responses import (
    ErrorResult,
    GetResult,
    MemberInfo,
    MembersResult,
    PutResult,
    Response,
    ResponseHeader,
)

A, B, C, D = "a:1", "b:1", "c:1", "d:1"
CLUSTER, OTHER = b"0123456789abcdef", b"another cluster!"
DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)


def members(*endpoints: str, index: int = 1) -> MembersResult:
    """Of the members 1, 2, ... where each one's clients connect."""
    told = (MemberInfo(f"node-{n}", n, True, f"peer:{n}", one) for n, one in enumerate(endpoints, 1))
    return MembersResult(index, tuple(told))


def order(endpoints: Endpoints, now: float = 0.0) -> list[str]:
    return list(endpoints.preferred(now, follow_leader=True))


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints((A, B), learns=True)


def test_what_was_learned_comes_after_what_was_given(endpoints: Endpoints) -> None:
    endpoints.on_members(members(D, B, C), term=1)
    assert (order(endpoints), endpoints.learned) == ([A, B, D, C], (D, C))


def test_who_would_be_asked_next_is_one_that_was_not_asked_and_is_not_left_out(endpoints: Endpoints) -> None:
    assert endpoints.has_other({A, D}, 0.0)
    endpoints.on_silence(B, 0.0)
    assert endpoints.has_other({A}, 0.5)  # what was given is always asked
    assert not endpoints.has_other({A, B}, 0.5)
    endpoints.on_members(members(A, C), term=1)
    assert endpoints.has_other({A, B}, 0.5)
    endpoints.on_silence(C, 0.5)
    assert [endpoints.has_other({A, B}, now) for now in (1.0, 2.0)] == [False, True]


def test_given_endpoints_that_fell_silent_come_last_and_are_never_dropped(endpoints: Endpoints) -> None:
    endpoints.on_members(members(C), term=1)  # neither A nor B is a member
    endpoints.on_silence(A, 0.0)
    assert order(endpoints) == [B, C, A]


def test_learned_ones_that_cannot_be_reached_are_left_out_for_a_while(endpoints: Endpoints) -> None:
    endpoints.on_members(members(C, D), term=1)
    endpoints.on_silence(C, 0.0)
    assert (order(endpoints, 0.5), order(endpoints, 1.5)) == ([A, B, D], [A, B, C, D])
    for endpoint in (A, C, D):
        endpoints.on_silence(endpoint, 2.0)
    assert order(endpoints, 2.5) == [B, A]


def test_as_long_as_a_learned_one_may_be_there_no_other_is_tried_in_vain(endpoints: Endpoints) -> None:
    endpoints.on_members(members(C, D), term=1)
    for now in (2.0, 3.0, 5.0):
        for endpoint in (A, B, C):
            endpoints.on_silence(endpoint, now)
    assert [order(endpoints, 5.5) for _ in range(2)] == [[D, A, B]] * 2


def test_where_the_given_ones_seem_to_be_gone_another_is_tried_in_each_round(endpoints: Endpoints) -> None:
    # They may have been replaced, while the learned ones were down for long and are back now. Where those can't be
    # reached at all, each costs a second: so it is one a round, and none as long as it may be a moment's outage.
    endpoints.on_members(members(C, D), term=1)
    for now in (2.0, 3.0):
        for endpoint in (A, B, C, D):
            endpoints.on_silence(endpoint, now)
        assert order(endpoints, now + 0.5) == [A, B]
    for endpoint in (A, B, C, D):
        endpoints.on_silence(endpoint, 5.0)
    assert [order(endpoints, 5.5) for _ in range(3)] == [[A, B, D], [A, B, C], [A, B, D]]
    endpoints.on_service(B)
    assert order(endpoints, 5.5) == [B, A]


def test_the_endpoint_of_a_removed_member_is_forgotten(endpoints: Endpoints) -> None:
    endpoints.on_members(members(C, D, index=1), term=1)
    endpoints.on_members(members(C, index=5), term=1)
    assert endpoints.learned == (C,)


@pytest.mark.parametrize(("term", "index"), [(2, 4), (1, 9)])
def test_a_node_that_lags_does_not_bring_a_removed_member_back(endpoints: Endpoints, term: int, index: int) -> None:
    endpoints.on_members(members(C, index=5), term=2)
    endpoints.on_members(members(C, D, index=index), term=term)
    assert endpoints.learned == (C,)


def test_what_was_not_known_yet_is_learned_though_the_members_are_the_same(endpoints: Endpoints) -> None:
    endpoints.on_members(members(C, "", index=5), term=2)
    endpoints.on_members(members(C, D, index=5), term=2)
    assert endpoints.learned == (C, D)


@pytest.mark.parametrize("unknown", ["", "0.0.0.0:8080", "[::]:8080", "nonsense"])
def test_a_node_that_does_not_know_where_a_member_is_leaves_it(endpoints: Endpoints, unknown: str) -> None:
    endpoints.on_members(members(C, D), term=1)
    endpoints.on_members(members(C, unknown), term=1)
    assert endpoints.learned == (C, D)
    fresh = Endpoints((A,), learns=True)
    fresh.on_members(members(unknown), term=1)
    assert order(fresh) == [A]


def test_learned_endpoints_are_bounded(endpoints: Endpoints) -> None:
    endpoints.on_members(members(*(f"m:{port}" for port in range(1, 100))), term=1)
    assert len(endpoints.learned) == MEMBERS_MAX


def test_members_are_asked_for_at_first_and_then_now_and_then(endpoints: Endpoints) -> None:
    times = [0.0, 0.1, LEARN_EVERY_S - 0.1, LEARN_EVERY_S, LEARN_EVERY_S + 0.1]
    assert [endpoints.asks_for_members(now) for now in times] == [True, False, False, True, False]


def test_members_are_asked_for_when_another_leader_is_heard_of(endpoints: Endpoints) -> None:
    endpoints.on_leader(A, 1)
    assert endpoints.asks_for_members(0.0)
    endpoints.on_leader(A, 1)
    assert not endpoints.asks_for_members(LEARN_PAUSE_S)
    endpoints.on_leader("", 2)  # nobody leads yet
    assert not endpoints.asks_for_members(LEARN_PAUSE_S)
    endpoints.on_leader(B, 2)
    assert not endpoints.asks_for_members(LEARN_PAUSE_S / 2)  # not that often
    assert endpoints.asks_for_members(LEARN_PAUSE_S)


def test_members_are_asked_for_when_an_endpoint_falls_silent(endpoints: Endpoints) -> None:
    assert endpoints.asks_for_members(0.0)
    endpoints.on_silence(A, 0.1)
    assert endpoints.asks_for_members(LEARN_PAUSE_S)


def test_who_is_told_not_to_learn_does_not() -> None:
    endpoints = Endpoints((A, B), learns=False)
    endpoints.on_leader(C, 1)
    endpoints.on_silence(C, 0.0)
    endpoints.on_members(members(D), term=1)
    assert not endpoints.asks_for_members(100.0)
    assert order(endpoints) == [A, B]


# --- whole calls


@pytest.fixture
def core() -> Core:
    return Core((A, B), draw=lambda: 1.0)


def put(core: Core, now: float = 0.0) -> Call[PutResult]:
    return core.call(Put(b"k", b"v"), PutResult, now, 4.0)


def answer(response: Response, number: int, leader: str = "", cluster: bytes = CLUSTER) -> Answered:
    header = ResponseHeader(1, cluster, "node-1", "node-2" if leader else "", leader, 1)
    return Answered((codec.encode(header), number.to_bytes(8, "big"), codec.encode(response)))


def asked(call: Call[Response], event: Event, now: float) -> tuple[str, type]:
    """Where the event has the call ask, and for what."""
    send = call.step(event, now)
    assert isinstance(send, Send)
    return send.endpoint, type(codec.decode_request(send.frames[2]))


def learn(core: Core, *endpoints: str) -> None:
    """One whole call, after which the client knows these members."""
    call = put(core)
    assert asked(call, Go(), 0.0) == (A, Put)
    assert asked(call, answer(DONE, 1), 0.1) == (A, ListMembers)
    assert call.step(answer(members(*endpoints), 2), 0.2) == Return(DONE)


def test_the_first_call_learns_the_members_from_who_answered(core: Core) -> None:
    learn(core, A, C, D)
    assert core.endpoints.learned == (C, D)
    call = put(core, 0.3)
    sent = [asked(call, Go(), 0.3), *(asked(call, NotSent("refused"), 0.3) for _ in range(3))]
    assert sent == [(one, Put) for one in (A, B, C, D)]


@pytest.mark.parametrize(
    "event",
    [
        NotSent("no connection"),
        NotAnswered("no answer in time"),
        answer(ErrorResult("Unavailable", "the node is starting"), 2),
        answer(DONE, 2),
        answer(members(C), 99),
        Answered((b"nonsense",)),
    ],
)
def test_whatever_comes_of_learning_the_answer_of_the_call_stays(core: Core, event: Event) -> None:
    call = put(core)
    call.step(Go(), 0.0)
    ask = call.step(answer(DONE, 1), 3.9)
    assert isinstance(ask, Send)
    assert (ask.connect_by, ask.answer_by) == (4.0, 4.0)  # nor does it take longer than the call may
    assert call.step(event, 4.0) == Return(DONE)
    assert core.endpoints.learned == ()


def test_what_a_program_asks_for_teaches_as_well(core: Core) -> None:
    call = core.call(ListMembers(), MembersResult, 0.0, 4.0)
    call.step(Go(), 0.0)
    assert call.step(answer(members(A, D), 1), 0.1) == Return(members(A, D))
    assert core.endpoints.learned == (D,)


def test_a_call_to_one_endpoint_asks_for_nothing_else(core: Core) -> None:
    call = core.call(Get(b"k"), GetResult, 0.0, 4.0, only=B)
    call.step(Go(), 0.0)
    assert call.step(answer(FOUND, 1), 0.1) == Return(FOUND)


def test_a_member_of_another_cluster_at_a_learned_address_is_passed_over(core: Core) -> None:
    # An address that others know the member by may be somebody else's where the client is.
    learn(core, A, D)
    refusal = ErrorResult("ProtocolError", "this node belongs to another cluster")
    call = put(core, 0.3)
    for event in (Go(), NotSent("refused"), NotSent("refused")):
        call.step(event, 0.3)
    # Its refusal is no verdict on the call, which goes on with the next round.
    assert call.step(answer(refusal, 3, leader=C, cluster=OTHER), 0.4) == Pause(0.4 + PAUSE_S_MIN)
    assert order(core.endpoints, 0.5) == [A, B]  # nor is its leader followed
