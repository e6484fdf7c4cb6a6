"""The client's policy: whole conversations, each a list of events and the list of instructions that they bring."""

import pytest

from tests.unit.client.calls import (
    CLUSTER,
    DONE,
    FOUND,
    GET,
    PUT,
    UNAVAILABLE,
    A,
    B,
    C,
    D,
    answer,
    get,
    header,
    play,
    put,
    where,
)
from zraft.client.core import Call, Core
from zraft.client.steps import (
    NO_ANSWER,
    Answered,
    Event,
    Fail,
    Go,
    NotAnswered,
    NotSent,
    Pause,
    Return,
    Send,
)
from zraft.errors import (
    InvalidArgument,
    NotLeader,
    PreconditionFailed,
    ProtocolError,
    ResourceExhausted,
    Unavailable,
    Unknown,
)
from zraft.protocol import codec
from zraft.protocol.requests import Batch, ClusterStatus, Delete, Get, Range, Request, RequestHeader
from zraft.protocol.responses import (
    BatchResult,
    DeleteResult,
    ErrorInfo,
    ErrorResult,
    GetResult,
    PutResult,
    RangeResult,
    Response,
    StatusResult,
)


def test_a_request_carries_version_cluster_and_the_time_that_the_node_has(core: Core) -> None:
    call = put(core)
    frames = (codec.encode(RequestHeader(1, b"", 3750)), (1).to_bytes(8, "big"), codec.encode(PUT))
    assert [call.step(Go(), 0.0), call.step(answer(DONE), 0.1)] == [
        Send(A, frames, connect_by=1.0, answer_by=4.0),
        Return(DONE),
    ]
    # From now on no other cluster is talked to.
    frames = (codec.encode(RequestHeader(1, CLUSTER, 3750)), (2).to_bytes(8, "big"), codec.encode(PUT))
    assert put(core, now=1.0).step(Go(), 1.0) == Send(A, frames, connect_by=2.0, answer_by=5.0)


def test_what_was_never_sent_goes_elsewhere_at_once(core: Core) -> None:
    assert play(put(core), (Go(), 0.0), (NotSent("refused"), 0.0), (NotSent("refused"), 0.1), (answer(DONE), 0.2)) == [
        A,
        B,
        C,
        Return(DONE),
    ]


def test_a_write_that_was_sent_and_not_answered_is_unknown(core: Core) -> None:
    # Trap 55: repeated, it could be applied twice.
    play(put(core), (Go(), 0.0), (answer(DONE), 0.0))
    assert play(put(core), (Go(), 0.0), (NotAnswered(NO_ANSWER), 4.0)) == [
        A,
        Fail(Unknown, "a:1: no answer in time; the write may have taken effect, or may still do so"),
    ]


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (GET, FOUND),
        (Range(), RangeResult(items=(), more=False, next_key=b"", revision=3)),
        (Batch((GET, GET)), BatchResult(results=(FOUND, FOUND), index=0, revision=3)),
        (ClusterStatus(), StatusResult("a", "follower", 1, "", (), 0, 0, "", "", 0, 0, 0)),
    ],
)
def test_a_read_that_was_not_answered_is_asked_elsewhere(core: Core, request_: Request, result: Response) -> None:
    call = core.call(request_, type(result), 0.0, 3.0)
    first = call.step(Go(), 0.0)
    assert isinstance(first, Send)
    assert (first.endpoint, first.answer_by) == (A, 1.0)  # a third of its time: others must have a chance
    assert play(call, (NotAnswered("broken"), 1.0), (answer(result), 1.1)) == [B, Return(result)]


def test_no_answer_is_waited_for_beyond_the_end_of_the_call(core: Core) -> None:
    call = get(core, timeout=3.0)
    call.step(Go(), 0.0)
    second = call.step(NotAnswered("broken"), 2.5)
    assert isinstance(second, Send)
    assert (second.endpoint, second.connect_by, second.answer_by) == (B, 3.0, 3.0)


@pytest.mark.parametrize("request_", [PUT, Delete(b"k"), Batch((PUT, Delete(b"k")))])
def test_every_kind_of_write_is_never_repeated_unanswered(core: Core, request_: Request) -> None:
    call = core.call(request_, PutResult, 0.0, 3.0)
    assert play(call, (Go(), 0.0), (NotAnswered("broken"), 0.1)) == [
        A,
        Fail(Unknown, "a:1: broken; the write may have taken effect, or may still do so"),
    ]


@pytest.mark.parametrize("code", ["Unavailable", "NotLeader", "NotExecuted"])
def test_what_was_certainly_not_executed_is_repeated_elsewhere(core: Core, code: str) -> None:
    refused = answer(ErrorResult(code, "not proposed"))
    assert play(put(core), (Go(), 0.0), (refused, 0.1), (answer(DONE), 0.2)) == [A, B, Return(DONE)]


def test_a_round_without_success_is_followed_by_a_pause_that_doubles(core: Core) -> None:
    call = get(core)
    no = answer(UNAVAILABLE)
    assert play(call, (Go(), 0.0), (no, 0.0), (no, 0.0), (no, 0.0)) == [A, B, C, Pause(0.02)]
    assert play(call, (Go(), 0.1), (no, 0.1), (no, 0.1), (no, 0.1)) == [A, B, C, Pause(0.1 + 0.04)]


def test_pauses_are_drawn_between_half_and_whole() -> None:
    core = Core((A,), draw=lambda: 0.0, learns=False)
    assert play(get(core), (Go(), 0.0), (answer(UNAVAILABLE), 0.0)) == [A, Pause(0.01)]


def test_pauses_stay_bounded_in_the_longest_call(core: Core) -> None:
    call = put(core, timeout=1e6)
    now, longest = 0.0, 0.0
    for _ in range(2_000):
        instruction = call.step(Go(), now)
        while isinstance(instruction, Send):
            instruction = call.step(answer(UNAVAILABLE), now)
        assert isinstance(instruction, Pause)
        longest = max(longest, instruction.until - now)
        now = instruction.until
    assert longest == pytest.approx(0.5)


def test_a_call_ends_at_its_deadline_with_the_last_verdict_and_all_reasons(core: Core) -> None:
    call = put(core, timeout=1.0)
    events: list[tuple[Event, float]] = [
        (Go(), 0.0),
        (NotSent("no connection"), 0.1),
        (answer(ErrorResult("NotLeader", "the term is over")), 0.2),
        (answer(UNAVAILABLE), 1.0),
    ]
    assert play(call, *events) == [
        A,
        B,
        C,
        Fail(Unavailable, "a:1: no connection; b:1: the term is over; c:1: there is no leader"),
    ]


def test_what_the_leader_said_is_not_hidden_by_one_that_does_not_lead(core: Core) -> None:
    no = answer(ErrorResult("NotLeader", "this node does not lead"))
    assert play(put(core, timeout=1.0), (Go(), 0.0), (no, 0.1), (answer(UNAVAILABLE), 0.2), (no, 0.6)) == [
        A,
        B,
        C,
        Fail(Unavailable, "a:1: this node does not lead; b:1: there is no leader; c:1: this node does not lead"),
    ]


def test_no_pause_reaches_beyond_the_deadline(core: Core) -> None:
    lost = NotSent("no connection")
    assert play(put(core, timeout=1.0), (Go(), 0.98), (lost, 0.98), (lost, 0.98), (lost, 0.99)) == [
        A,
        B,
        C,
        Fail(Unavailable, "a:1: no connection; b:1: no connection; c:1: no connection"),
    ]


def test_a_refused_request_is_not_sent_again_too_late_for_a_verdict(core: Core) -> None:
    # It certainly was not executed; sent again with no time left it would end as Unknown.
    no = answer(ErrorResult("NotLeader", "not me"))
    assert play(put(core, timeout=4.0), (Go(), 0.0), (no, 3.49), (no, 3.51)) == [
        A,
        B,
        Fail(NotLeader, "a:1: not me; b:1: not me"),
    ]
    assert play(put(core, timeout=0.2), (Go(), 0.0), (answer(UNAVAILABLE, number=2), 0.1)) == [
        A,
        Fail(Unavailable, "a:1: there is no leader"),
    ]


def test_an_exhausted_bound_is_given_time_before_anyone_is_asked_again(core: Core) -> None:
    full = answer(ErrorResult("ResourceExhausted", "too many requests in flight"))
    assert play(put(core), (Go(), 0.0), (full, 0.0), (Go(), 0.02), (full, 3.99)) == [
        A,
        Pause(0.02),
        A,
        Fail(ResourceExhausted, "a:1: too many requests in flight"),
    ]


def test_the_leader_hint_is_followed_within_a_call_and_by_later_ones(core: Core) -> None:
    hint = answer(ErrorResult("NotLeader", "not me"), leader=D)
    assert play(put(core), (Go(), 0.0), (hint, 0.1), (answer(DONE, leader=D), 0.2)) == [A, D, Return(DONE)]
    assert where(put(core, now=1.0).step(Go(), 1.0)) == D


def test_a_node_that_answers_for_itself_is_asked_in_the_order_given(core: Core) -> None:
    play(put(core), (Go(), 0.0), (answer(DONE, leader=D), 0.1))
    local: list[Request] = [
        Get(b"k", serializable=True),
        Range(serializable=True),
        Batch((Get(b"k", serializable=True),)),
        ClusterStatus(),
    ]
    assert [where(core.call(one, GetResult, 1.0, 1.0).step(Go(), 1.0)) for one in local] == [A, A, A, A]
    shared: list[Request] = [GET, Range(), Batch((GET,)), Batch((PUT,)), Delete(b"k")]
    assert [where(core.call(one, GetResult, 1.0, 1.0).step(Go(), 1.0)) for one in shared] == [D, D, D, D, D]


def test_a_node_that_lags_does_not_take_the_leader_back(core: Core) -> None:
    play(put(core), (Go(), 0.0), (answer(DONE, leader=C, term=5), 0.1))
    play(put(core), (Go(), 0.2), (answer(DONE, number=2, leader=B, term=4), 0.3))
    assert where(put(core).step(Go(), 0.4)) == C
    play(put(core), (Go(), 0.5), (answer(DONE, number=4, leader="", term=6), 0.6))
    assert where(put(core).step(Go(), 0.7)) == A


def test_the_newest_header_counts_also_if_it_was_heard_before(core: Core) -> None:
    for number, leader in enumerate((C, "", C), 1):
        play(put(core), (Go(), 0.0), (answer(DONE, number=number, leader=leader, term=5), 0.1))
    assert where(put(core).step(Go(), 0.2)) == C


def test_an_unreachable_leader_falls_back_to_the_given_endpoints(core: Core) -> None:
    play(put(core), (Go(), 0.0), (answer(DONE, leader=D), 0.1))
    hint = answer(UNAVAILABLE, number=2, leader=D)
    assert play(put(core, now=1.0), (Go(), 1.0), (NotSent("no connection"), 2.0), (hint, 2.1), (hint, 2.2)) == [
        D,
        A,
        B,  # the answer named D again: it is not followed
        C,
    ]


def test_an_unreachable_leader_is_avoided_twice_as_long_each_time(core: Core) -> None:
    def asked_first(now: float) -> str:
        """Whom a put at that time asks first; D never can be reached, others serve and name D the leader."""
        call = put(core, now)
        instruction = call.step(Go(), now)
        first = where(instruction)
        if first == D:
            instruction = call.step(NotSent("no connection"), now)
        assert isinstance(instruction, Send)
        call.step(answer(DONE, number=int.from_bytes(instruction.frames[1], "big"), leader=D), now)
        return first

    times = [0.0, 0.1, 1.0, 1.2, 3.0, 3.2, 5.2, 7.3]
    assert [asked_first(now) for now in times] == [A, D, A, D, A, D, A, D]


@pytest.mark.parametrize("error", ["Unknown", "Unavailable"])
def test_a_leader_that_gets_nothing_done_is_not_followed(core: Core, error: str) -> None:
    # Its gateway lives and names its own node, whose other actors stand still: the others elected another leader.
    body = ErrorResult(error, "no result came in time")
    call = put(core)
    call.step(Go(), 0.0)
    call.step(answer(body, leader=A), 4.9)
    assert where(put(core, now=5.0).step(Go(), 5.0)) == B


def test_threads_that_fail_together_avoid_an_endpoint_once(core: Core) -> None:
    calls = [put(core) for _ in range(8)]
    for call in calls:
        call.step(Go(), 0.0)
    for call in calls:
        call.step(NotSent("no connection"), 0.5)
    assert (where(put(core).step(Go(), 1.4)), where(put(core).step(Go(), 1.5))) == (B, A)


def test_an_endpoint_that_answers_is_trusted_again(core: Core) -> None:
    core.endpoints.on_silence(A, 0.0)
    assert list(core.endpoints.preferred(0.5, follow_leader=True)) == [B, C, A]
    core.endpoints.on_service(A)
    assert list(core.endpoints.preferred(0.5, follow_leader=True)) == [A, B, C]


def test_an_endpoint_that_says_why_not_is_trusted_again(core: Core) -> None:
    core.endpoints.on_silence(A, 0.0)
    call = core.call(ClusterStatus(), StatusResult, 0.1, 2.0, only=A)
    assert play(call, (Go(), 0.1), (answer(ErrorResult("InvalidArgument", "no")), 0.2)) == [
        A,
        Fail(InvalidArgument, "no"),
    ]
    assert list(core.endpoints.preferred(0.5, follow_leader=True)) == [A, B, C]


@pytest.mark.parametrize(
    ("response", "fail"),
    [
        (ErrorResult("InvalidArgument", "no"), Fail(InvalidArgument, "no")),
        (ErrorResult("ProtocolError", "another cluster"), Fail(ProtocolError, "another cluster")),
        (ErrorResult("Unknown", "the leader was lost"), Fail(Unknown, "the leader was lost")),
        (ErrorResult("LockLost", "of a later version"), Fail(Unknown, "LockLost: of a later version")),
        (
            PutResult(False, ErrorInfo("PreconditionFailed", "it is 4"), index=8, revision=9, mod_revision=4),
            Fail(PreconditionFailed, "it is 4", 4),
        ),
        (
            DeleteResult(False, ErrorInfo("PreconditionFailed", "it is 0"), index=8, revision=9),
            Fail(PreconditionFailed, "it is 0", 0),
        ),
    ],
)
def test_a_final_answer_is_not_repeated(core: Core, response: Response, fail: Fail) -> None:
    assert play(put(core), (Go(), 0.0), (answer(response), 0.1)) == [A, fail]


def test_a_read_of_unknown_outcome_is_repeated(core: Core) -> None:
    lost = answer(ErrorResult("Unknown", "the leader was lost"))
    assert play(get(core), (Go(), 0.0), (lost, 0.1), (answer(FOUND), 0.2)) == [A, B, Return(FOUND)]


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (b"\xc1", (1).to_bytes(8, "big"), codec.encode(DONE)),
        (codec.encode(header()), (1).to_bytes(8, "big"), b"\xc1"),
        (codec.encode(header()), (9).to_bytes(8, "big"), codec.encode(DONE)),
        (codec.encode(header()), (1).to_bytes(8, "big"), codec.encode(BatchResult((), 0, 0))),
    ],
)
def test_nonsense_is_a_protocol_error_and_for_a_write_an_unknown_outcome(frames: tuple[bytes, ...]) -> None:
    found = []
    for begin in (put, get):
        call: Call[Response] = begin(Core((A, B, C), draw=lambda: 1.0, learns=False))
        call.step(Go(), 0.0)
        instruction = call.step(Answered(frames), 0.1)
        assert isinstance(instruction, Fail)
        found.append(instruction.kind)
    assert found == [Unknown, ProtocolError]


def test_a_single_endpoint_is_asked_once(core: Core) -> None:
    call = core.call(ClusterStatus(), StatusResult, 0.0, 2.0, only=D)
    first = call.step(Go(), 0.0)
    assert isinstance(first, Send)
    assert (first.endpoint, first.connect_by, first.answer_by) == (D, 1.0, 2.0)
    assert call.step(NotSent("no connection"), 0.1) == Fail(Unavailable, "d:1: no connection")


def test_a_call_without_time_asks_nobody(core: Core) -> None:
    assert play(put(core, timeout=1.0), (Go(), 1.0)) == [
        Fail(Unavailable, "there was no time to ask anyone within 1 s")
    ]
