"""Links to the other nodes: one DEALER a peer and plane, found by name, remade when it broke or the address changed.

libzmq resolves names in its I/O thread, where a DNS server that does not answer would hold up healthy peers. So names
are resolved in threads of their own, and sockets connect to numeric addresses only (trap 61).
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import zmq

from zraft.actors.sockets import Frames, Sockets, drain, send
from zraft.config import GIVEN, Settings, split_address
from zraft.connection import Connection, look_up
from zraft.errors import ConfigurationError
from zraft.protocol.entries import Configuration

RESOLVE_SECONDS = 2.0
REMAKE_SECONDS = 0.1
"""A link is not remade more often: a peer that accepts and hangs up at once would keep us busy."""
PATIENCE_SECONDS = 2.0
"""So long may a connection take before another address of the same name is tried."""
MESSAGES_PER_DRAIN = 256


def peers_of(settings: Settings, configuration: Configuration) -> dict[str, tuple[str, int]]:
    """The other members' (host, control port) by name: as the configuration has it, else as the settings have it.

    Or the other way round, as ``addresses_of`` says.
    """
    known = given = settings.peer_addresses()
    for name, address in configuration.addresses().items():
        with contextlib.suppress(ConfigurationError):  # another version let it pass: that must not end this node
            known = known | {name: split_address(address)}
    if settings.addresses_of == GIVEN:
        known = known | given
    return {one.name: known[one.name] for one in configuration.members if one.name in known and one.name != settings.id}


def differing_addresses(settings: Settings, configuration: Configuration) -> str:
    """The addresses that the cluster has stored, and that count, where ``peers`` has others; empty: there are none."""
    stored = configuration.addresses()
    names = [name for name, given in settings.peers.items() if stored.get(name, given) != given]
    return "" if settings.addresses_of == GIVEN else ",".join(f"{name}={stored[name]}" for name in names)


class Resolver:
    """Keeps the numeric addresses of some hosts up to date; numeric hosts need no looking up.

    Each name has a daemon thread, so that one whose DNS server does not answer holds up no other.
    """

    def __init__(self, hosts: Iterable[str] = (), look_up: Callable[[str], tuple[str, ...]] = look_up) -> None:
        self._look_up = look_up
        self._stop = threading.Event()
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._watched: set[str] = set()
        self.watch(hosts)

    def watch(self, hosts: Iterable[str]) -> None:
        """Look up these as well, if they are not looked up yet."""
        for host in set(hosts) - self._watched:
            self._watched.add(host)
            try:
                self._addresses[host] = (str(ipaddress.ip_address(host)),)
            except ValueError:
                threading.Thread(target=self._run, args=(host,), name=f"resolver of {host}", daemon=True).start()

    def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of ``host`` as known last, in no order that lasts; empty: none is known yet."""
        return self._addresses.get(host, ())

    def close(self) -> None:
        """End the threads; a look-up that hangs is left to its own time-out."""
        self._stop.set()

    def _run(self, host: str) -> None:
        while not self._stop.is_set():
            addresses = self._look_up(host)
            if addresses:  # a name that does not resolve for a moment keeps its last addresses
                self._addresses[host] = addresses
            self._stop.wait(RESOLVE_SECONDS)


class PeerLinks:
    """The DEALERs of one actor to its peers on one plane (``offset`` above their control port)."""

    def __init__(
        self,
        sockets: Sockets,
        poller: zmq.Poller,
        peers: Mapping[str, tuple[str, int]],
        offset: int,
        resolver: Resolver | None = None,
    ) -> None:
        self._sockets = sockets
        self._poller = poller
        self._offset = offset
        self._resolver = resolver or Resolver()
        self._peers: dict[str, tuple[str, int]] = {}
        self._links: dict[str, _Link] = {}
        self._not_before: dict[str, float] = {}
        self._next_refresh = 0.0
        self.follow(peers)

    def follow(self, peers: Mapping[str, tuple[str, int]]) -> None:
        """The members have changed: link to these, and to nobody else."""
        now = {name: (host, port + self._offset) for name, (host, port) in peers.items()}
        self._resolver.watch(host for host, _ in now.values())
        for name in list(self._links):
            if now.get(name) != self._peers[name]:
                self._close(name)
        self._peers = now
        self._next_refresh = 0.0

    def refresh(self, now: float) -> float:
        """Follow changed addresses, and replace what was lost; returns when to call again (seconds)."""
        if now >= self._next_refresh:
            wakes = [self._refresh(name, now) for name in self._peers]
            self._next_refresh = min([now + RESOLVE_SECONDS / 2, *wakes])
        return self._next_refresh

    def send(self, name: str, frames: Frames) -> bool:
        """Send to a peer; False when it is not connected or its queue is full: nothing is kept for it."""
        link = self._links.get(name)
        return link is not None and link.connection.is_open and send(link.connection.socket, frames)

    def arrived(self, events: Mapping[object, int]) -> list[tuple[str, Frames]]:
        """(peer's name, frames) of what has come back over these links; one that broke is closed when it is read."""
        messages: list[tuple[str, Frames]] = []
        for name, link in list(self._links.items()):
            connection = link.connection
            is_lost = connection.monitor in events and connection.look()
            if is_lost or connection.socket in events:
                messages += [(name, frames) for frames in drain(connection.socket, MESSAGES_PER_DRAIN)]
            if is_lost:
                self._close(name)
                self._next_refresh = 0.0
        return messages

    def close(self) -> None:
        """Look up no more names; the sockets belong to the actor."""
        self._resolver.close()

    def _refresh(self, name: str, now: float) -> float:
        """Connect to a peer anew if that is due; returns when it may be the next time."""
        host, port = self._peers[name]
        addresses, link = self._resolver.addresses(host), self._links.get(name)
        if link is not None and _is_to_stay(link, addresses, now):
            return math.inf
        if not addresses:
            return now + 0.05  # a first answer of the resolver is near
        if link is not None:
            self._close(name)
        elif now < self._not_before.get(name, now):
            return self._not_before[name]
        address = _after(link.address if link else "", addresses)
        self._not_before[name] = now + REMAKE_SECONDS
        try:
            connection = self._sockets.connect_peer((address, port))
        except zmq.ZMQError:  # an address that libzmq does not take is no reason to end
            return now + RESOLVE_SECONDS
        self._poller.register(connection.socket, zmq.POLLIN)
        self._poller.register(connection.monitor, zmq.POLLIN)
        self._links[name] = _Link(address, connection, now)
        return math.inf

    def _close(self, name: str) -> None:
        connection = self._links.pop(name).connection
        self._poller.unregister(connection.socket)
        self._poller.unregister(connection.monitor)
        connection.close()


class _Link(NamedTuple):
    """A way to a peer."""

    address: str
    connection: Connection
    since: float


def _is_to_stay(link: _Link, addresses: tuple[str, ...], now: float) -> bool:
    """A name may have several addresses, told in another order each time: the one in use is as good as the others."""
    if not addresses:
        return True
    if link.address not in addresses:
        return False
    return len(addresses) == 1 or link.connection.is_open or now - link.since < PATIENCE_SECONDS


def _after(address: str, addresses: tuple[str, ...]) -> str:
    """The next one to try: of those behind the one that was tried last, and round again."""
    tried = addresses.index(address) if address in addresses else -1
    return addresses[(tried + 1) % len(addresses)]
