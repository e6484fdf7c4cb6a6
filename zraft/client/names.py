"""Host names to numeric addresses, each time anew: a peer may have moved (trap 61)."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable

from zraft.config import is_address, split_endpoint
from zraft.connection import look_up, tcp
from zraft.errors import ConfigurationError

DOUBTED_MAX = 256
"""So many endpoints are remembered that have addresses which did not answer; then it begins anew."""
RESOLVE_S = 0.002
"""A name is resolved in a thread, and looked for so often."""


class Lookup:
    """An address that is being looked up.

    No ``Future``, nor any other condition to wait for: if a signal's handler raises an exception where Python code lets
    go of its lock, nobody ever lets go of it.

    Attributes:
        address: empty if there is none, or not yet.
        is_over: whether it is known.
    """

    __slots__ = ("address", "is_over")

    def __init__(self) -> None:
        self.address = ""
        self.is_over = False

    def end(self, address: str) -> None:
        """This is the address; empty: there is none."""
        self.address = address
        self.is_over = True


class Names:
    """Resolves host names in threads of their own: libzmq would do it in the one that serves all connections.

    A name may have several addresses, as a headless service of Kubernetes has one for each pod: after one to which no
    connection could be made, the next is tried.

    There is no lock: a signal's handler that asks while its thread holds one would wait for a thread that wants it. So
    each step leaves what any other bears, and at worst a name is looked up twice, or an address is tried in vain again.
    """

    def __init__(self) -> None:
        self._running: dict[str, Lookup] = {}
        self._doubted: dict[str, frozenset[str]] = {}  # by endpoint: addresses that were tried in vain

    def address(self, endpoint: str, until: float, is_closed: Callable[[], bool]) -> str:
        """The numeric ZeroMQ address of ``host:port``; empty if there is none, not in time, or not before the end."""
        lookup = self.lookup(endpoint)
        while not (lookup.is_over or is_closed()) and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, RESOLVE_S))
        return lookup.address

    def doubt(self, endpoint: str, address: str) -> None:
        """No connection to ``address`` came about: others of the endpoint's name come first, if it has any."""
        if len(self._doubted) >= DOUBTED_MAX:
            self._doubted.clear()
        self._doubted[endpoint] = self._doubted.get(endpoint, frozenset()) | {address}

    def lookup(self, endpoint: str) -> Lookup:
        """The numeric ZeroMQ address of ``host:port``, as soon as it is known."""
        lookup = Lookup()
        try:
            host, port = split_endpoint(endpoint)
        except ConfigurationError:  # a hint comes from outside
            lookup.end("")
            return lookup
        if is_address(host):
            lookup.end(tcp(host, port))
            return lookup
        running = self._running.get(endpoint)
        if running is not None and not running.is_over:
            return running
        try:
            # Others wait for it only once its thread runs: an interrupt in between leaves nothing that never ends.
            # ``threading.Thread.start`` is many steps, and interrupted leaves it open whether it will run.
            _thread.start_new_thread(self._resolve, (endpoint, host, port, lookup))
        except RuntimeError:
            if threading.main_thread().is_alive():  # no room for a thread: the next call may have some
                lookup.end("")
            else:  # Python 3.12 starts none any more; what goes on now may wait for a name without a bound
                self._resolve(endpoint, host, port, lookup)
            return lookup
        self._running[endpoint] = lookup
        if lookup.is_over:  # before it was there
            self._running.pop(endpoint, None)
        return lookup

    def _resolve(self, endpoint: str, host: str, port: int, lookup: Lookup) -> None:
        address = ""
        try:
            if found := look_up(host):
                address = self._first(endpoint, [tcp(one, port) for one in found])
        finally:
            lookup.end(address)
        if self._running.get(endpoint) is lookup:
            self._running.pop(endpoint, None)

    def _first(self, endpoint: str, addresses: list[str]) -> str:
        doubted = self._doubted.get(endpoint, frozenset())
        if doubted.issuperset(addresses):
            self._doubted.pop(endpoint, None)  # once more round
            doubted = frozenset()
        return next(address for address in addresses if address not in doubted)
