"""A node as a client sees it, answering what a test says: a ROUTER socket in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import zmq

from zraft.protocol import codec
from zraft.protocol.requests import ListMembers, Request, RequestHeader
from zraft.protocol.responses import MembersResult, Response, ResponseHeader

CLUSTER = b"0123456789abcdef"
Script = Callable[[Request], Response | None]


class ScriptedNode:
    """Answers each request with what the script returns for it; None: with silence.

    Args:
        script: called in the node's thread.
        leader: the leader's endpoint that every answer names.
        port: 0 for a free one.
        cluster: whose node it is.
    """

    def __init__(self, script: Script, *, leader: str = "", port: int = 0, cluster: bytes = CLUSTER) -> None:
        self.members = MembersResult(1, ())
        """What it tells clients that ask for the members, which they do by themselves; that is not recorded below."""
        self.headers: list[RequestHeader] = []
        self.messages: list[int] = []
        """How many requests each message had."""
        self.requests: list[Request] = []
        self._script = script
        self._cluster = cluster
        self.leader = leader
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT).removeprefix("tcp://")
        self._stop = self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """The node is gone, and its connections with it."""
        if self._thread.is_alive():
            self._stop.send(b"")
            self._thread.join()
        self._stop.close(0)
        self._context.term()

    def _serve(self) -> None:
        stop = self._context.socket(zmq.PAIR)
        stop.connect("inproc://stop")
        sockets: list[tuple[zmq.Socket[bytes], int]] = [(self._router, zmq.POLLIN), (stop, zmq.POLLIN)]
        try:
            while stop not in dict(zmq.zmq_poll(sockets)):
                self._answer(*self._router.recv_multipart())
        finally:  # of a script that raised, too: an open socket would keep ``kill`` waiting for ever
            stop.close(0)
            self._router.close(0)

    def _answer(self, client: bytes, empty: bytes, header: bytes, *pairs: bytes) -> None:
        requests = [codec.decode_request(body) for body in pairs[1::2]]
        asked = [request for request in requests if not isinstance(request, ListMembers)]
        if asked:
            self.headers.append(codec.request_header.decode(header))
            self.messages.append(len(asked))
            self.requests += asked
        answers: list[bytes] = []
        for number, request in zip(pairs[::2], requests, strict=True):
            is_ours = isinstance(request, ListMembers)
            response = self.members if is_ours else self._script(request)
            if response is not None:
                answers = [number, codec.encode(response), *answers]  # in any order
        if answers:
            ours = ResponseHeader(1, self._cluster, "node-1", "node-2" if self.leader else "", self.leader, 1)
            self._router.send_multipart([client, empty, codec.encode(ours), *answers])
