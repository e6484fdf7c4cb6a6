"""Storage's links to the gateways of its node: results of their proposals, and news of what has been applied.

Nothing here waits for a gateway. One whose queue is full is forgotten until it registers again, and is told then
that results may be missing, so that it concludes nothing from their absence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import zmq

from zraft.actors.sockets import drain, send
from zraft.core.applier import Outcome
from zraft.protocol import codec
from zraft.protocol.local import Applied, AppliedTerm, Register, Registered, Results, StorageToGateway, WaitApplied

GATEWAYS_MAX = 64
DRAIN_MESSAGES = 1024


class _Gateway(msgspec.Struct):
    route: bytes
    nonce: int
    waits: set[int]


class ResultLinks:
    """The ROUTER to which this node's gateways connect."""

    def __init__(self, socket: zmq.Socket[bytes], incarnation: bytes) -> None:
        self._socket = socket
        self._incarnation = incarnation
        self._gateways: dict[int, _Gateway] = {}

    def take(self, events: Mapping[object, int], applied: int) -> None:
        """Registrations and waits that have come."""
        if self._socket not in events:
            return
        for route, incarnation, frame in drain(self._socket, DRAIN_MESSAGES):
            if incarnation != self._incarnation:
                continue  # S1
            message = codec.gateway_to_storage.decode(frame)
            if isinstance(message, Register):
                self._register(route, message)
            else:
                self._wait(route, message, applied)

    def tell(self, outcomes: Sequence[Outcome], applied: int) -> None:
        """Results to the gateway that proposed, new terms to all, and to each who waits for it: ``applied``."""
        for outcome in outcomes:
            if isinstance(outcome, Results):
                gateway = self._gateways.get(outcome.origin.gateway)
                if gateway is not None and gateway.nonce == outcome.origin.nonce:
                    self._send(outcome.origin.gateway, outcome)
            else:
                for number in list(self._gateways):
                    self._send(number, outcome)
        for number, gateway in list(self._gateways.items()):
            if gateway.waits and min(gateway.waits) <= applied:
                gateway.waits = {index for index in gateway.waits if index > applied}
                self._send(number, Applied(applied))

    def skipped(self) -> None:
        """A snapshot took the place of entries: what they came to for anybody here is not known, and never will be.

        Told before any term or result that comes behind them, from which a gateway would conclude that what it
        proposed in between was never executed, and propose it once more.
        """
        for number in list(self._gateways):
            self._send(number, Registered(True))

    def _register(self, route: bytes, message: Register) -> None:
        known = self._gateways.get(message.gateway)
        fresh = known is None or known.nonce != message.nonce or known.route != route
        if fresh:
            self._gateways[message.gateway] = _Gateway(route, message.nonce, set())
            if len(self._gateways) > GATEWAYS_MAX:
                del self._gateways[next(iter(self._gateways))]
        self._send(message.gateway, Registered(fresh))

    def _wait(self, route: bytes, message: WaitApplied, applied: int) -> None:
        for number, gateway in list(self._gateways.items()):
            if gateway.route == route:
                if message.index <= applied:
                    self._send(number, Applied(applied))
                else:
                    gateway.waits.add(message.index)

    def _send(self, number: int, message: StorageToGateway | AppliedTerm) -> None:
        gateway = self._gateways[number]
        if not send(self._socket, [gateway.route, self._incarnation, codec.encode(message)]):
            del self._gateways[number]
