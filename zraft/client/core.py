"""The client's policy without I/O: where a request goes next, how long it may take, and what may be repeated.

1. Only what was certainly not executed is repeated by itself, until the deadline: a request that was never sent, or
   one whose answer says so.
2. A write that was sent and not answered is ``Unknown`` (trap 55). A read has no effect, so it is asked elsewhere.
3. A round asks each endpoint at most once, the leader first; after a round without success comes a pause.
4. The leader is a hint: one that can't be reached is not followed for a while, and the given endpoints serve.
5. A call that has its answer may ask the same endpoint for the members before it ends (``zraft.client.endpoints`` says
   when); whatever comes of that, the call's answer stays.
6. A step of one call may come in the midst of another's, between any two instructions (of a signal's handler), and a
   step may be broken off there. What they share bears that: it is replaced, or changed by what nothing comes between.

A ``Call`` is one request, from its first sending to its end: ``step`` takes an event and answers with the one
instruction that comes next, both of ``zraft.client.steps``. ``Core`` is what the calls of one client share. Times are
seconds of any clock that only goes forward.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from zraft.client.arguments import body_of
from zraft.client.endpoints import Endpoints
from zraft.client.steps import (
    NO_ANSWER,
    Answered,
    Event,
    Fail,
    Go,
    Instruction,
    NotAnswered,
    NotSent,
    Pause,
    Return,
    Send,
)
from zraft.core.limits import is_serializable, is_write
from zraft.errors import (
    NotExecuted,
    NotLeader,
    PreconditionFailed,
    ProtocolError,
    ResourceExhausted,
    Unavailable,
    Unknown,
    ZraftError,
    from_code,
)
from zraft.protocol import codec
from zraft.protocol.requests import (
    PROTOCOL_VERSION,
    Batch,
    ChangeMember,
    ClusterStatus,
    Compact,
    Delete,
    Get,
    ListMembers,
    Put,
    Range,
    ReadBackup,
    Request,
    RequestHeader,
    TransferLeadership,
)
from zraft.protocol.responses import (
    BackupChunk,
    BatchResult,
    CompactResult,
    DeleteResult,
    ErrorResult,
    GetResult,
    MembersResult,
    PutResult,
    RangeResult,
    Response,
    ResponseHeader,
    StatusResult,
    TransferResult,
)

OPEN = "the write may have taken effect, or may still do so"
NEVER = ", nor ever before (is it a node's client port?)"
"""A peer port takes connections as well, and says nothing to a client."""
CONNECT_S_MAX = 1.0
"""How long one endpoint may take to accept a connection."""
READ_SHARE = 1 / 3
"""The part of its time that a read waits for one endpoint, so that some is left for others."""
CONNECT_SHARE = 1 / 2
"""The part of its time that a write waits for one endpoint to accept a connection, while others are left to ask.

Else one that takes connections and never speaks has all of a time-out of a second. It is more than a third, for nodes
far away: a connection takes three round trips, 0.4 s between continents, and an attempt that is given up begins anew.
Of a time-out of 1 s a third would keep all of them out for ever; a half lets them in, and leaves 0.6 s for the answer.
"""
VERDICT_S = 0.25
"""How much earlier than we stop waiting the node is told to stop trying, so that its own verdict arrives in time."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.02, 0.5
LEARN_S = 0.25
"""How long a call that has its answer may take to learn the members."""
NO_SERVICE = (Unavailable, Unknown)
HEADERS_MAX = 256
"""So many headers are remembered with what they mean."""

LIST_MEMBERS = body_of(ListMembers())

R = TypeVar("R", bound=Response, covariant=True)


class Core:
    """What the calls of one client share: its endpoints, the leader as last heard of, and who could not be reached.

    Args:
        endpoints: ``host:port`` of some nodes, in the order in which to try them.
        draw: random numbers within [0, 1), for the jitter of pauses.
        learns: whether the members that the cluster tells are asked as well.
    """

    def __init__(self, endpoints: tuple[str, ...], draw: Callable[[], float], learns: bool = True) -> None:
        self.endpoints = Endpoints(endpoints, learns)
        self.draw = draw
        self.cluster = b""
        """The cluster that answered first; requests are refused by any other."""
        self._numbers = itertools.count(1)
        self._headers: dict[int, bytes] = {}  # of requests, by their time-out
        self._heard: dict[bytes, ResponseHeader] = {}  # of answers: thousands have the same one
        self._last_heard = b""

    def call(self, request: Request, answer: type[R], now: float, timeout: float, only: str = "") -> Call[R]:
        """A new call that must end within ``timeout`` seconds; ``only`` that endpoint is asked, and once."""
        return Call(self, self.number(), request, answer, now, timeout, only)

    def number(self) -> bytes:
        """A request id that no other request of this client has."""
        return next(self._numbers).to_bytes(8, "big")

    def request_header(self, timeout_ms: int) -> bytes:
        """The header of a request that the node may work on for so long."""
        header = self._headers.get(timeout_ms)
        if header is None:
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            cluster = self.cluster
            header = codec.encode(RequestHeader(PROTOCOL_VERSION, cluster, timeout_ms))
            if cluster == self.cluster:  # a step within this one may have learned it
                self._headers[timeout_ms] = header
        return header

    def hear(self, frame: bytes) -> ResponseHeader:
        """An endpoint has answered with this header: learn what it tells, unless another cluster says it.

        Raises:
            ProtocolError: it can't be understood.
        """
        header = self._heard.get(frame)
        if header is None:
            if len(self._heard) >= HEADERS_MAX:
                self._heard.clear()
            header = self._heard[frame] = codec.response_header.decode(frame)
        if frame != self._last_heard:  # else it tells nothing new
            if not self.cluster and header.cluster:
                self.cluster = header.cluster
                self._headers.clear()
            if not self.is_foreign(header):
                self.endpoints.on_leader(header.leader_endpoint, header.term)
            self._last_heard = frame  # last: if a step within this one hears another, that is told again
        return header

    def is_foreign(self, header: ResponseHeader) -> bool:
        """Whether a node of another cluster answers."""
        return bool(header.cluster) and header.cluster != self.cluster


class Call(Generic[R]):
    """One request, from its first sending to its end. Made by ``Core.call``.

    Args:
        core: what it shares with the other calls of its client.
        number: the request id.
        request: what to send; the others are those of ``Core.call``.

    Raises:
        InvalidArgument: a node would refuse the request.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_body",
        "_core",
        "_deadline",
        "_endpoint",
        "_failure",
        "_follows_leader",
        "_is_write",
        "_last_send",
        "_number",
        "_only",
        "_pause",
        "_reasons",
        "_timeout",
        "end",
    )

    def __init__(
        self, core: Core, number: bytes, request: Request, answer: type[R], now: float, timeout: float, only: str
    ) -> None:
        self._core = core
        self._number = number
        self._body = body_of(request)
        self._answer = answer
        self._timeout = timeout
        self._deadline = self._last_send = now + timeout
        self._only = only
        self._is_write = has_effect(request)
        self._follows_leader = not is_local(request)
        self._endpoint = ""
        self._asked: set[str] = set()
        self._pause = PAUSE_S_MIN
        self._failure: type[ZraftError] = Unavailable
        self._reasons: dict[str, str] = {}
        self.end: Return[R] | None = None
        """Its answer, while it only asks for the members."""

    @property
    def size(self) -> int:
        """Bytes of the request."""
        return len(self._body)

    def step(self, event: Event, now: float) -> Instruction[R]:
        """What to do next, after this event."""
        if self.end is not None:
            self._on_members(event)
            return self.end
        match event:
            case Go():
                return self._next(now)
            case Answered():
                return self._on_answer(event.frames, now)
            case NotSent(reason):
                self._core.endpoints.on_silence(self._endpoint, now)
                return self._repeat(Unavailable, reason, now)
            case NotAnswered(reason):
                self._core.endpoints.on_silence(self._endpoint, now)
                if reason == NO_ANSWER and self._core.endpoints.is_unheard(self._endpoint):
                    reason += NEVER
                if self._is_write:
                    return Fail(Unknown, f"{self._endpoint}: {reason}; {OPEN}")
                return self._repeat(Unavailable, reason, now)

    def _on_answer(self, frames: tuple[bytes, ...], now: float) -> Instruction[R]:
        try:
            header, response = self._decode(frames)
        except ProtocolError as error:
            self._core.endpoints.on_silence(self._endpoint, now)
            # Something was executed, perhaps, by a node that we don't understand.
            return Fail(Unknown if self._is_write else ProtocolError, f"{self._endpoint}: {error}")
        endpoints = self._core.endpoints
        endpoints.on_answer(self._endpoint)
        refusal = _error_in(response)
        if refusal is not None:
            is_given = self._only or self._endpoint in endpoints.given
            if self._core.is_foreign(header) and not is_given:
                # A member told an address at which we find somebody else, who has refused the request.
                endpoints.on_silence(self._endpoint, now)
                return self._repeat(Unavailable, refusal.message, now)
            if isinstance(refusal, NO_SERVICE) and isinstance(response, ErrorResult):
                # Its gateway lives, what stands behind it perhaps not: it may go on naming its own node as the leader.
                endpoints.on_silence(self._endpoint, now)
            else:
                endpoints.on_service(self._endpoint)
            return self._on_refusal(refusal, now)
        endpoints.on_service(self._endpoint)
        if isinstance(response, self._answer):
            if isinstance(response, MembersResult):
                endpoints.on_members(response, header.term)
            elif not self._only and endpoints.asks_for_members(now):
                self.end = Return(response)
                return self._ask_for_members(now)
            return Return(response)
        kind = Unknown if self._is_write else ProtocolError
        return Fail(kind, f"{self._endpoint}: the answer is a {type(response).__name__}, which was not asked for")

    def _ask_for_members(self, now: float) -> Send:
        self._number = self._core.number()
        until = min(self._deadline, now + LEARN_S)
        frames = (self._core.request_header(round(LEARN_S * 1000)), self._number, LIST_MEMBERS)
        return Send(self._endpoint, frames, until, until)

    def _on_members(self, event: Event) -> None:
        """No failure matters to a call that has its answer."""
        with contextlib.suppress(ProtocolError):
            if isinstance(event, Answered):
                header, response = self._decode(event.frames)
                if isinstance(response, MembersResult):
                    self._core.endpoints.on_members(response, header.term)

    def _on_refusal(self, error: ZraftError, now: float) -> Send | Pause | Fail:
        # It is certain that nothing was done. Sent again too late for a verdict, a write would end as Unknown.
        self._last_send = self._deadline - min(2 * VERDICT_S, self._timeout / 2)
        match error:
            case ResourceExhausted():
                # Mostly the leader's bound, and others would pass the request on to it: no use in asking them now.
                self._asked.update(self._candidates(now))
                return self._repeat(ResourceExhausted, error.message, now)
            case NotExecuted():
                return self._repeat(type(error), error.message, now)
            case Unknown() if not self._is_write:
                return self._repeat(Unavailable, error.message, now)
            case PreconditionFailed():
                return Fail(PreconditionFailed, error.message, error.revision)
        return Fail(type(error), error.message)

    def _decode(self, frames: tuple[bytes, ...]) -> tuple[ResponseHeader, Response]:
        if len(frames) != 3 or frames[1] != self._number:
            raise ProtocolError(f"the answer has {len(frames)} frames, or is to another request")
        response = codec.response.decode(frames[2])
        return self._core.hear(frames[0]), response

    def _repeat(self, kind: type[ZraftError], reason: str, now: float) -> Send | Pause | Fail:
        if kind is not NotLeader or not self._reasons:  # who doesn't lead says least about what is wrong
            self._failure = kind
        self._reasons[self._endpoint] = reason
        return self._next(now)

    def _next(self, now: float) -> Send | Pause | Fail:
        if now >= self._last_send:
            return self._give_up()
        for endpoint in self._candidates(now):
            if endpoint not in self._asked:
                return self._send(endpoint, now)
        if self._only:
            return self._give_up()
        until = now + self._pause * (0.5 + 0.5 * self._core.draw())
        if until >= self._last_send:
            return self._give_up()
        self._pause = min(2 * self._pause, PAUSE_S_MAX)
        self._asked.clear()
        return Pause(until)

    def _candidates(self, now: float) -> Iterator[str]:
        return iter((self._only,)) if self._only else self._core.endpoints.preferred(now, self._follows_leader)

    def _send(self, endpoint: str, now: float) -> Send:
        self._endpoint = endpoint
        self._asked.add(endpoint)
        wait = self._deadline - now
        if not self._is_write and not self._only:
            wait = min(wait, self._timeout * READ_SHARE)
        connect = min(wait, CONNECT_S_MAX)
        if self._is_write and not self._only and self._core.endpoints.has_other(self._asked, now):
            connect = min(connect, self._timeout * CONNECT_SHARE)
        timeout_ms = max(1, round((wait - min(VERDICT_S, wait / 2)) * 1000))
        frames = (self._core.request_header(timeout_ms), self._number, self._body)
        return Send(endpoint, frames, connect_by=now + connect, answer_by=now + wait)

    def _give_up(self) -> Fail:
        reasons = "; ".join(f"{endpoint}: {reason}" for endpoint, reason in self._reasons.items())
        return Fail(self._failure, reasons or f"there was no time to ask anyone within {self._timeout:g} s")


def has_effect(request: Request) -> bool:
    """Whether the request changes something: one of unknown outcome must not be repeated."""
    return is_write(request) or isinstance(request, TransferLeadership)


def is_local(request: Request) -> bool:
    """Whether any node answers from what it knows itself, so that the leader is no better than others."""
    match request:
        case Get() | Range() | Batch():
            return is_serializable(request)
        case ClusterStatus() | ListMembers() | ReadBackup():
            return True
        case Put() | Delete() | Compact() | TransferLeadership() | ChangeMember():
            return False


def _error_in(response: Response) -> ZraftError | None:
    match response:
        case PutResult() | GetResult() | DeleteResult():
            error = response.error
            return from_code(error.code, error.message, response.mod_revision) if error else None
        case ErrorResult():
            return from_code(response.code, response.message)
        case BatchResult() | RangeResult() | StatusResult() | CompactResult() | BackupChunk():
            return None
        case TransferResult() | MembersResult():
            return None
