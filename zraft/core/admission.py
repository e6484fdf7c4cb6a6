"""Bounds on what clients may have in flight: requests and bytes, of one client and of all."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """One request of one client: where its answer goes, the bytes that it holds in flight, what it is, since when."""

    route: bytes
    request: bytes
    size: int
    kind: str = "write"
    arrived: float = 0.0


class Limits(msgspec.Struct, frozen=True):
    """The bounds, see ``Settings``."""

    client_requests: int
    client_bytes: int
    gateway_requests: int
    gateway_bytes: int


class Admission:
    """Counts what is in flight. A client without anything in flight costs no memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._clients: dict[bytes, tuple[int, int]] = {}
        self.requests = 0
        self.bytes = 0

    def admit(self, client: bytes, size: int) -> str:
        """Count a request of ``size`` bytes in; else say which bound it would break."""
        requests, held = self._clients.get(client, (0, 0))
        limits = self._limits
        if requests >= limits.client_requests:
            return f"this client has {requests} requests in flight: wait for answers"
        if held + size > limits.client_bytes and requests:
            return f"this client has {held} bytes in flight: wait for answers"
        if self.requests >= limits.gateway_requests or (self.bytes + size > limits.gateway_bytes and self.requests):
            return f"the node has {self.requests} requests, {self.bytes} bytes in flight: try again later"
        self._clients[client] = (requests + 1, held + size)
        self.requests += 1
        self.bytes += size
        return ""

    def release(self, client: bytes, size: int) -> None:
        """A request has been answered."""
        requests, held = self._clients[client]
        if requests == 1:
            del self._clients[client]
        else:
            self._clients[client] = (requests - 1, held - size)
        self.requests -= 1
        self.bytes -= size
