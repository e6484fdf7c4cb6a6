"""Host names to numeric addresses, each time anew: a peer may have moved (trap 61)."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from concurrent.futures import Future

from zraft.config import split_endpoint
from zraft.errors import ConfigurationError

DOUBTED_MAX = 256
"""So many endpoints are remembered that have addresses which did not answer; then it begins anew."""


class Names:
    """Resolves host names in threads of their own: libzmq would do it in the one that serves all connections.

    A name may have several addresses, as a headless service of Kubernetes has one for each pod: after one to which no
    connection could be made, the next is tried.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[str]] = {}
        self._doubted: dict[str, set[str]] = {}  # by endpoint: addresses that were tried in vain

    def address(self, endpoint: str, until: float) -> str | None:
        """The numeric ZeroMQ address of ``host:port``; None if there is none, or not in time."""
        try:
            return self.lookup(endpoint).result(max(0.0, until - time.monotonic()))
        except (OSError, TimeoutError):
            return None

    def doubt(self, endpoint: str, address: str) -> None:
        """No connection to ``address`` came about: others of the endpoint's name come first, if it has any."""
        with self._lock:
            if len(self._doubted) >= DOUBTED_MAX:
                self._doubted.clear()
            self._doubted.setdefault(endpoint, set()).add(address)

    def lookup(self, endpoint: str) -> Future[str]:
        """The numeric ZeroMQ address of ``host:port``, once it is known; ``OSError`` if there is none."""
        found: Future[str] = Future()
        try:
            host, port = split_endpoint(endpoint)
            found.set_result(_address(str(ipaddress.ip_address(host)), port))
            return found
        except ConfigurationError as error:  # a hint comes from outside
            found.set_exception(OSError(str(error)))
            return found
        except ValueError:
            pass
        with self._lock:
            lookup = self._running.get(endpoint)
            if lookup is None:
                lookup = self._running[endpoint] = Future()
                try:
                    threading.Thread(target=self._resolve, args=(endpoint, lookup), daemon=True).start()
                except RuntimeError:  # no room for a thread: the next call may have some
                    del self._running[endpoint]
                    raise
        return lookup

    def _resolve(self, endpoint: str, lookup: Future[str]) -> None:
        host, port = split_endpoint(endpoint)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # A node binds IPv4 unless told otherwise, and "localhost" often means ::1 first.
            found.sort(key=lambda info: info[0] != socket.AF_INET)
            address = self._first(endpoint, [_address(str(info[4][0]), port) for info in found])
        except (OSError, ValueError) as error:  # what no name may hold is a ValueError
            lookup.set_exception(OSError(str(error)))
        else:
            lookup.set_result(address)
        with self._lock:
            del self._running[endpoint]

    def _first(self, endpoint: str, addresses: list[str]) -> str:
        with self._lock:
            doubted = self._doubted.get(endpoint, set())
            if doubted.issuperset(addresses):
                doubted.clear()  # once more round
            return next(address for address in addresses if address not in doubted)


def _address(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
