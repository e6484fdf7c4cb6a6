"""Calls of the client's policy, played event by event."""

from zraft.client.core import Call, Core
from zraft.client.steps import (
    Answered,
    Event,
    Fail,
    Instruction,
    Pause,
    Return,
    Send,
)
from zraft.protocol import codec
from zraft.protocol.requests import Get, Put
from zraft.protocol.responses import ErrorResult, GetResult, PutResult, Response, ResponseHeader

A, B, C, D = "a:1", "b:1", "c:1", "d:1"
CLUSTER = b"0123456789abcdef"
PUT = Put(b"k", b"v")
DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
GET = Get(b"k")
FOUND = GetResult(found=True, value=b"v", error=None, revision=3)
UNAVAILABLE = ErrorResult("Unavailable", "there is no leader")


def put(core: Core, now: float = 0.0, timeout: float = 4.0) -> Call[PutResult]:
    return core.call(PUT, PutResult, now, timeout)


def get(core: Core, now: float = 0.0, timeout: float = 3.0) -> Call[GetResult]:
    return core.call(GET, GetResult, now, timeout)


def header(leader: str = "", term: int = 1, cluster: bytes = CLUSTER) -> ResponseHeader:
    return ResponseHeader(1, cluster, "node-1", "node-2" if leader else "", leader, term)


def answer(response: Response, number: int = 1, leader: str = "", term: int = 1) -> Answered:
    frames = (codec.encode(header(leader, term)), number.to_bytes(8, "big"), codec.encode(response))
    return Answered(frames)


def where(instruction: Instruction[Response]) -> str:
    assert isinstance(instruction, Send)
    return instruction.endpoint


def play(call: Call[Response], *events: tuple[Event, float]) -> list[str | Pause | Return[Response] | Fail]:
    """The instructions that the events bring; of a Send only where to."""
    instructions = [call.step(event, now) for event, now in events]
    return [one.endpoint if isinstance(one, Send) else one for one in instructions]
