"""The client in pseudo code of ``proto_schemas/README.md``: each of its lines stands above what a stranger makes of it.

Such a line begins with ``# |``; ``test_page`` holds them equal to those of the page, and runs what is below them.
"""

from __future__ import annotations

import itertools
import random
import time
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from tests.wire.by_schema import RECORDS

msgpack = msgspec.msgpack.encode
now = time.monotonic
ANSWERS = {record["tag"]: record for record in RECORDS.values() if record["kind"] == "response"}
PUT, DELETE, BATCH, ERROR_RESULT, COMPACT, TRANSFER_LEADERSHIP, CHANGE_MEMBER = 1, 2, 3, 7, 8, 10, 11
EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
)
NOT_SENT, NOT_ANSWERED = [b"not sent"], [b"not answered"]
CONTINUE, BREAK = "continue", "break"

Socket = tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]"]
"""One of a connection, and its monitor."""


class Refused(Exception):
    """How a call ends that fails: with a code of the page."""


class PageClient:
    """What its calls, one at a time, have in common."""

    def __init__(self, endpoints: list[str]) -> None:
        # | endpoints = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
        self.endpoints = endpoints
        # | cluster = b"" ; leader = "" ; leader_term = 0
        self.cluster, self.leader, self.leader_term = b"", "", 0
        self.numbers = itertools.count(1)
        self._pauses: dict[str, tuple[float, float]] = {}
        self.kept: dict[str, Socket] = {}
        self._context = zmq.Context()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.kept:
            close(self.kept.popitem()[1])
        self._context.term()

    def avoid(self, endpoint: str) -> None:
        pause = min(2 * self._pauses.get(endpoint, (0.5, 0.0))[0], 64.0)
        self._pauses[endpoint] = (pause, now() + pause)

    def trust(self, endpoint: str) -> None:
        self._pauses.pop(endpoint, None)

    def avoided(self, endpoint: str) -> bool:
        return now() < self._pauses.get(endpoint, (0.0, 0.0))[1]

    # | exchange(endpoint, frames, wait, connect):
    def exchange(self, endpoint: str, frames: list[bytes], wait: float, connect: float) -> list[bytes]:
        # | until = now() + wait
        until = now() + wait
        # | socket = the one kept for endpoint, if its monitor has told nothing more; else close that, and make one:
        kept = self.kept.pop(endpoint, None)
        if kept is not None and kept[1].poll(0):
            close(kept)
            kept = None
        made = kept or self._made(endpoint, connect)
        if made is None:
            return NOT_SENT
        socket, monitor = made
        # | send(frames)                                     # the socket adds the empty frame
        socket.send_multipart(frames)
        # | wait for socket readable, or any event, or now() >= until
        poll([socket, monitor], until)
        # | if not readable(socket): close ; return not_answered  # after an event, too: the answer may have come before
        if not socket.poll(0):
            close(made)
            return NOT_ANSWERED
        # | frames = receive() ; keep the socket for endpoint ; return frames
        frames = socket.recv_multipart()
        self.kept[endpoint] = made
        return frames

    def _made(self, endpoint: str, connect: float) -> Socket | None:
        # | REQ ; LINGER = 0 ; RCVHWM = 0 ; RECONNECT_IVL = 1 day ; HEARTBEAT_IVL = 1 s ; HEARTBEAT_TIMEOUT = 2 s
        socket = self._context.socket(zmq.REQ)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, 0),
            (zmq.RECONNECT_IVL, 86_400_000),
            (zmq.HEARTBEAT_IVL, 1_000),
            (zmq.HEARTBEAT_TIMEOUT, 2_000),
        ):
            socket.setsockopt(option, value)
        # | monitor(HANDSHAKE_SUCCEEDED, HANDSHAKE_FAILED_..., CLOSED, DISCONNECTED) ; connect("tcp://" + endpoint)
        monitor: zmq.Socket[bytes] = socket.get_monitor_socket(EVENTS)
        socket.connect(f"tcp://{endpoint}")
        # | if its first event within connect is not HANDSHAKE_SUCCEEDED, or there is none: close ; return not_sent
        poll([monitor], now() + connect)
        if not monitor.poll(0) or recv_monitor_message(monitor)["event"] != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            close((socket, monitor))
            return None
        return socket, monitor

    # | call(request, timeout):
    def call(self, request: list[Any], timeout: float = 5.0) -> list[Any]:
        return _Call(self, request, timeout).run()


class _Call:
    def __init__(self, client: PageClient, request: list[Any], timeout: float) -> None:
        self.client, self.timeout = client, timeout
        # | body = msgpack(request)                          # [1, key, value, nil, false, 0, 0, 0]
        self.body = msgpack(request)
        # | is_write = request is Put, Delete, a Batch of them, Compact, ChangeMember, or TransferLeadership
        self.is_write = request[0] in (PUT, DELETE, COMPACT, CHANGE_MEMBER, TRANSFER_LEADERSHIP) or (
            request[0] == BATCH and request[1][0][0] in (PUT, DELETE)
        )
        # | deadline = last_send = now() + timeout ; pause = 0.02 ; failure = none
        self.deadline = self.last_send = now() + timeout
        self.pause, self.failure = 0.02, ""

    def run(self) -> list[Any]:
        client = self.client
        # | while now() < last_send:
        while now() < self.last_send:
            # | hint = [leader] if leader and not avoided(leader) else []
            hint = [client.leader] if client.leader and not client.avoided(client.leader) else []
            # | round = unique(hint + endpoints), those that are avoided last
            in_order = sorted(dict.fromkeys(hint + client.endpoints), key=client.avoided)
            # | for endpoint in round:
            for endpoint in in_order:
                # | if now() >= last_send: break
                if now() >= self.last_send:
                    break
                found = self.ask(endpoint, is_last=endpoint == in_order[-1])
                if isinstance(found, list):
                    return found
                if found == BREAK:
                    break
            # | nap = pause * random(0.5, 1) ; pause = min(2 * pause, 0.5)
            nap, self.pause = self.pause * random.uniform(0.5, 1), min(2 * self.pause, 0.5)
            # | if now() + nap >= last_send: break
            if now() + nap >= self.last_send:
                break
            # | sleep(nap)
            time.sleep(nap)  # noqa: TID251 -- what the page says
        # | raise failure or Unavailable
        raise Refused(self.failure or "Unavailable")

    def ask(self, endpoint: str, is_last: bool) -> list[Any] | str:
        client = self.client
        # | left = deadline - now()
        left = self.deadline - now()
        # | wait = left if is_write else min(left, timeout / 3)
        wait = left if self.is_write else min(left, self.timeout / 3)
        # | connect = min(wait, 1) if endpoint is the last of round else min(wait, 1, timeout / 2)
        connect = min(wait, 1) if is_last else min(wait, 1, self.timeout / 2)
        # | header = msgpack([1, cluster, max(1, int((wait - min(0.25, wait / 2)) * 1000))])
        header = msgpack([1, client.cluster, max(1, int((wait - min(0.25, wait / 2)) * 1000))])
        # | id = new_id()
        number = b"%d" % next(client.numbers)
        # | outcome = exchange(endpoint, [header, id, body], wait, connect)
        outcome = client.exchange(endpoint, [header, number, self.body], wait, connect)
        # | if outcome is not_sent:
        if outcome is NOT_SENT:
            # | avoid(endpoint) ; failure = Unavailable ; continue
            client.avoid(endpoint)
            self.failure = "Unavailable"
            return CONTINUE
        # | if outcome is not_answered:
        if outcome is NOT_ANSWERED:
            # | avoid(endpoint)
            client.avoid(endpoint)
            # | if is_write: raise Unknown
            if self.is_write:
                raise Refused("Unknown")
            # | failure = Unavailable ; continue
            self.failure = "Unavailable"
            return CONTINUE
        # | frames = outcome.frames                  # without the empty one
        frames = outcome
        # | if len(frames) != 3 or frames[1] != id or not well_formed(frames):
        if len(frames) != 3 or frames[1] != number:
            # | raise Unknown if is_write else ProtocolError
            raise Refused("Unknown" if self.is_write else "ProtocolError")
        return self.judge(endpoint, frames)

    def judge(self, endpoint: str, frames: list[bytes]) -> list[Any] | str:
        client = self.client
        # | h = frames[0] ; answer = frames[2]       # arrays; ignore fields that you don't know
        (_, cluster, _, _, leader_endpoint, term, *_), answer = map(msgspec.msgpack.decode, (frames[0], frames[2]))
        # | cluster = cluster or h.cluster
        client.cluster = client.cluster or cluster
        # | if h.cluster == cluster and h.term >= leader_term: leader, leader_term = h.leader_endpoint, h.term
        if cluster == client.cluster and term >= client.leader_term:
            client.leader, client.leader_term = leader_endpoint, term
        # | code = answer.code if answer is ErrorResult else answer.error.code if answer has an error else none
        code = code_of(answer)
        # | if code is none: trust(endpoint) ; return answer
        if not code:
            client.trust(endpoint)
            return list(answer)
        # | last_send = deadline - min(0.5, timeout / 2)            # it was refused
        self.last_send = self.deadline - min(0.5, self.timeout / 2)
        # | if code == ProtocolError and h.cluster not in (b"", cluster) and endpoint not in endpoints:
        if code == "ProtocolError" and cluster not in (b"", client.cluster) and endpoint not in client.endpoints:
            # | avoid(endpoint) ; failure = Unavailable ; continue  # the hint led to another cluster
            client.avoid(endpoint)
            self.failure = "Unavailable"
            return CONTINUE
        # | if answer is ErrorResult and code in (Unavailable, Unknown): avoid(endpoint)
        if answer[0] == ERROR_RESULT and code in ("Unavailable", "Unknown"):
            client.avoid(endpoint)
        # | else: trust(endpoint)                                   # avoided no more; the next time again for 1 s
        else:
            client.trust(endpoint)
        return self.conclude(code)

    def conclude(self, code: str) -> str:
        # | if code == NotLeader: failure = failure or code ; continue      # others say more
        if code == "NotLeader":
            self.failure = self.failure or code
            return CONTINUE
        # | if code in (Unavailable, NotExecuted): failure = code ; continue
        if code in ("Unavailable", "NotExecuted"):
            self.failure = code
            return CONTINUE
        # | if code == ResourceExhausted: failure = code ; break
        if code == "ResourceExhausted":
            self.failure = code
            return BREAK
        # | if code in (InvalidArgument, PreconditionFailed, Compacted, MembershipRefused, Rejected, ProtocolError):
        if code in (
            *("InvalidArgument", "PreconditionFailed", "Compacted", "MembershipRefused", "Rejected", "ProtocolError"),
        ):
            # | raise code
            raise Refused(code)
        # | if is_write: raise Unknown               # Unknown, and every code that is not known
        if self.is_write:
            raise Refused("Unknown")
        # | failure = Unavailable
        self.failure = "Unavailable"
        return CONTINUE


def code_of(answer: list[Any]) -> str:
    """The error's code, if there is one; which field holds it, the schema tells."""
    if answer[0] == ERROR_RESULT:
        return str(answer[1])
    places = [field["position"] for field in ANSWERS[answer[0]]["fields"] if field["name"] == "error"]
    return next((str(answer[place][0]) for place in places if answer[place]), "")


def poll(sockets: list[zmq.Socket[bytes]], until: float) -> None:
    """Wait until one of them can be read, or until the time is up."""
    zmq.zmq_poll([(socket, zmq.POLLIN) for socket in sockets], max(0, round((until - now()) * 1000)))


def close(made: Socket) -> None:
    socket, monitor = made
    socket.disable_monitor()  # first: the socket's thread waits until it can tell what happens
    monitor.close(0)
    socket.close(0)
