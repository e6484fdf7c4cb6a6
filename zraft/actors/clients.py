"""The gateway's side of its clients: their requests in, answers out, nothing about consensus.

Answers to one client that are ready together leave in one message. A client that does not read its answers has them
kept up to a bound, and is refused more; a client that is gone is forgotten with its next answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from zraft.actors import metrics
from zraft.actors.clock import clock
from zraft.actors.logs import Log
from zraft.actors.sockets import Frames, Sockets, drain
from zraft.connection import send_frames, tcp
from zraft.core.admission import Admission, Caller, Limits
from zraft.core.limits import fault_of, is_write
from zraft.errors import InvalidArgument, ProtocolError, ResourceExhausted, Unavailable, ZraftError
from zraft.protocol import codec
from zraft.protocol.requests import (
    PROTOCOL_VERSION,
    REQUEST_BYTES_MAX,
    REQUEST_ID_BYTES_MAX,
    ClusterStatus,
    Request,
    RequestHeader,
)
from zraft.protocol.responses import DeleteResult, ErrorResult, GetResult, PutResult

DRAIN_MESSAGES = 512
DRAIN_BYTES = 8 << 20
"""So much is taken in before others have their turn; the message that goes beyond it is the last one."""
MONITOR_EVENTS_MAX = 4_096
SHARE_BYTES_MIN = 4 << 20
"""Each client may keep so much, as one answer may have."""
UNREAD_MESSAGES_MAX = 4
UNREAD_PART_BYTES = 1 << 20
"""ZeroMQ counts messages, not bytes: so answers leave in few, of about this size at most."""
HEADER_BYTES_MAX = 256
HEADERS_MAX = 1_024
"""So many are remembered with what they mean; then it begins anew."""
MESSAGE_BYTES_MAX = 64 << 20
"""A longer message ends its connection: nothing of it is read, so nothing can be answered."""
TIMEOUT_SECONDS_MAX = 600.0
UNREAD_SECONDS = 30.0
"""A client that reads none of its answers for so long loses them."""
LINGER_MS = 200
_ERROR_TAG = codec.encode(ErrorResult("", ""))[1]
"""The second byte of an encoded response is its tag, after the array's head. In a PutResult success comes next."""
_FALSE = codec.encode(False)[0]
UNREAD = "this client has too many unread answers: read them first"


class Ask(msgspec.Struct, frozen=True):
    """A request that passed all checks; ``deadline`` in seconds."""

    caller: Caller
    request: Request
    body: bytes
    deadline: float


class _Unsent(msgspec.Struct):
    """What waits for one client, the bytes of it, and since when none of it has left."""

    frames: Frames
    size: int
    since: float


class Clients:
    """The client ROUTER of one gateway."""

    def __init__(
        self,
        sockets: Sockets,
        address: tuple[str, int],
        limits: Limits,
        timeout: float,
        handle: Callable[[Ask], None],
        log: Log,
    ) -> None:
        self.socket = sockets.bind_router(tcp(*address), UNREAD_MESSAGES_MAX, MESSAGE_BYTES_MAX, "port")
        self.cluster = b""
        self._timeout = timeout
        self._handle = handle
        self._log = log
        self._admission = Admission(limits)
        self._unread_max = limits.client_bytes
        self._all_unread_max = limits.gateway_bytes
        self._kept = self._keepers = 0  # bytes of answers that could not leave at the last flush; and whose they are
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._connections: set[int] = set()
        self._headers: dict[bytes, RequestHeader] = {}
        self._outbox: dict[bytes, _Unsent] = {}
        self._told: list[Caller] = []  # since the last flush
        self._asked = -math.inf

    def report(self) -> None:
        """Tell how many requests and connections there are."""
        metrics.requests_in_flight.set(self._admission.requests)
        metrics.client_connections.set(len(self._connections))

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return self._admission.requests

    def take(self, events: Mapping[object, int], now: float) -> None:
        """Requests that have come."""
        if self.monitor in events:
            self._watch_connections()
        if self.socket in events:
            self._asked = now
            room = DRAIN_BYTES
            for message in drain(self.socket, DRAIN_MESSAGES):
                self._on_message(message, now)
                room -= sum(map(len, message))
                if room < 0:
                    break

    def tell(self, caller: Caller, body: bytes, now: float) -> None:
        """Have an encoded response sent with the next ``flush``."""
        self._admission.release(caller.route, caller.size)
        self._told.append(caller)
        metrics.requests.inc((caller.kind, _result_of(body)))
        self._put(caller.route, caller.request, body, now)

    def fail(self, caller: Caller, error: ZraftError, now: float) -> None:
        """Have an error sent with the next ``flush``."""
        self.tell(caller, codec.encode(ErrorResult(error.code, error.message)), now)

    def is_calm(self, since: float) -> bool:
        """Whether nobody waits for an answer, or has asked since then, or is connected at all."""
        return not self._admission.requests and (self._asked < since or not self._connections)

    def is_full(self, route: bytes) -> bool:
        """Whether a client has so many unread answers that it gets no more of what would be large.

        When all of them together keep more than the gateway's bound, that is more than its share of it.
        """
        unsent, bound = self._outbox.get(route), self._unread_max
        if self._kept > self._all_unread_max:
            bound = min(bound, max(SHARE_BYTES_MIN, self._all_unread_max // self._keepers))
        return unsent is not None and unsent.size > bound

    def flush(self, header: Callable[[], bytes], now: float) -> bool:
        """Send what is ready, each client's answers together; whether something had to be kept.

        ``header`` makes that of the answers; it is not asked when there are none.
        """
        if not self._outbox:
            self._kept = self._keepers = 0
            return False
        head = header()
        for route, unsent in list(self._outbox.items()):
            if self._send(route, unsent, head, now):
                del self._outbox[route]
            elif now - unsent.since > UNREAD_SECONDS:
                self._log.every(10, "answers dropped", reason="a client reads none of its answers")
                del self._outbox[route]
        left = clock()  # not ``now``: a read may come and be answered within one turn
        for caller in self._told:
            metrics.request_seconds[caller.kind].observe(left - caller.arrived)
        self._told.clear()
        self._keepers = len(self._outbox)
        self._kept = sum(unsent.size for unsent in self._outbox.values())
        return bool(self._outbox)

    def close(self) -> None:
        """Let the last answers leave; whoever does not take them at once loses them."""
        self.socket.close(LINGER_MS)

    def _watch_connections(self) -> None:
        """Never left for later: 2,000 unread events stop the I/O thread, and with it all sockets of this process."""
        for message in drain(self.monitor, MONITOR_EVENTS_MAX):
            event = parse_monitor_message(message)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._connections.add(event["value"])
            else:
                self._connections.discard(event["value"])

    def _send(self, route: bytes, unsent: _Unsent, header: bytes, now: float) -> bool:
        """Whether nothing is left to send to this client."""
        while unsent.frames:
            count, size = _part_of(unsent)
            try:
                send_frames(self.socket, [route, b"", header, *unsent.frames[:count]])
            except zmq.Again:
                return False
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                return True
            del unsent.frames[:count]
            unsent.size -= size
            unsent.since = now
        return True

    def _put(self, route: bytes, request: bytes, body: bytes, now: float) -> None:
        unsent = self._outbox.get(route)
        if unsent is None:
            unsent = self._outbox[route] = _Unsent([], 0, now)
        unsent.frames += (request, body)
        unsent.size += len(request) + len(body)

    def _on_message(self, message: Frames, now: float) -> None:
        """Route, empty, header, then pairs. What can't be understood is answered as far as it can be."""
        route, *frames = message
        if len(frames) < 4 or frames[0] or len(frames) % 2:
            self._refuse(
                route, b"", ProtocolError("frames must be: empty, header, then pairs of request id and body"), now
            )
            return
        try:
            header = self._header(frames[1])
        except ZraftError as error:
            for request in frames[2::2]:
                self._refuse(route, request[:REQUEST_ID_BYTES_MAX], error, now)
            return
        # What runs no trio, as a node that an operator must look at, knows no cluster: all that it does is to say why.
        tells_only = any(header.cluster) and not self.cluster
        seconds = min(header.timeout_ms / 1000, TIMEOUT_SECONDS_MAX) if header.timeout_ms else self._timeout
        for position in range(2, len(frames), 2):
            try:
                self._on_request(route, frames[position], frames[position + 1], now, now + seconds, tells_only)
            except ZraftError as error:
                self._refuse(route, frames[position][:REQUEST_ID_BYTES_MAX], error, now)

    def _on_request(
        self, route: bytes, request: bytes, body: bytes, now: float, deadline: float, tells_only: bool
    ) -> None:
        if len(request) > REQUEST_ID_BYTES_MAX:
            raise ProtocolError(f"a request id has up to {REQUEST_ID_BYTES_MAX} bytes, this one has {len(request)}")
        if len(body) > REQUEST_BYTES_MAX:
            raise InvalidArgument(f"a request has up to {REQUEST_BYTES_MAX} bytes, this one has {len(body)}: split it")
        if self.is_full(route):
            raise ResourceExhausted(UNREAD)
        # First of all: to take a large request apart only to refuse it would cost others as much as to serve it.
        excess = self._admission.admit(route, len(body))
        if excess:
            raise ResourceExhausted(excess)
        try:
            decoded = _understood(body, tells_only)
        except ZraftError:
            self._admission.release(route, len(body))
            raise
        caller = Caller(route, request, len(body), _kind_of(decoded), now)
        self._handle(Ask(caller, decoded, body, deadline))

    def _header(self, frame: bytes) -> RequestHeader:
        header = self._headers.get(frame)
        if header is None:
            if len(frame) > HEADER_BYTES_MAX:
                raise ProtocolError(f"a header has up to {HEADER_BYTES_MAX} bytes, this one has {len(frame)}")
            header = codec.request_header.decode(frame)
            if header.version != PROTOCOL_VERSION:
                raise ProtocolError(f"this node speaks protocol version {PROTOCOL_VERSION}, not {header.version}")
            if header.timeout_ms < 0:
                raise ProtocolError(f"timeout_ms is 0, for the node's own, or more; this one is {header.timeout_ms}")
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            self._headers[frame] = header
        if any(header.cluster) and self.cluster and header.cluster != self.cluster:  # empty or zeros: any
            raise ProtocolError(f"this node belongs to cluster {self.cluster.hex()}, not to {header.cluster.hex()}")
        return header

    def _refuse(self, route: bytes, request: bytes, error: ZraftError, now: float) -> None:
        metrics.requests.inc(("refused", error.code))
        unsent = self._outbox.get(route)
        if unsent is not None and unsent.size > 2 * self._unread_max:
            self._log.every(10, "refusals dropped", reason="a client reads none of its answers")
            return
        self._put(route, request, codec.encode(ErrorResult(error.code, error.message)), now)


def _understood(body: bytes, tells_only: bool) -> Request:
    decoded = codec.decode_request(body)
    if tells_only and not isinstance(decoded, ClusterStatus):
        raise Unavailable("this node does not know its cluster (yet): zraft status tells why")
    fault = fault_of(decoded)
    if fault:
        raise InvalidArgument(fault)
    return decoded


def _result_of(body: bytes) -> str:
    """What an encoded response says of its request: ok, or the code of an error. A batch is ok as a whole."""
    if body[2] != _FALSE and body[1] != _ERROR_TAG:
        return "ok"  # the second field, success or found, is not false: mostly nothing more is looked at
    answer = codec.response.decode(body)
    if isinstance(answer, ErrorResult):
        return answer.code
    error = answer.error if isinstance(answer, PutResult | DeleteResult | GetResult) else None
    return error.code if error else "ok"


def _part_of(unsent: _Unsent) -> tuple[int, int]:
    """How many frames the next message takes, in pairs, and their bytes."""
    if unsent.size <= UNREAD_PART_BYTES:
        return len(unsent.frames), unsent.size
    count = size = 0
    while count < len(unsent.frames) and size <= UNREAD_PART_BYTES:
        size += len(unsent.frames[count]) + len(unsent.frames[count + 1])
        count += 2
    return count, size


def _kind_of(request: Request) -> str:
    if isinstance(request, ClusterStatus):
        return "status"
    return "write" if is_write(request) else "read"
