"""A gateway's links to the trio of its node, remade with each incarnation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import zmq

from zraft.actors.sockets import Sockets, drain, send
from zraft.protocol import codec
from zraft.protocol.local import (
    ElectionToGateway,
    Propose,
    Register,
    Registered,
    RoundRequest,
    StorageToGateway,
    TransferRequest,
    WaitApplied,
)
from zraft.protocol.peer import NotProposed
from zraft.store.directory import ipc_endpoint

DRAIN_MESSAGES = 1024
REGISTER_SECONDS = 1.0
_PARTS = ("election", "replication", "storage")

Message = StorageToGateway | NotProposed | ElectionToGateway


class Trio:
    """Election, replication and storage as one gateway sees them."""

    def __init__(self, sockets: Sockets, poller: zmq.Poller, runtime: Path, register: Register) -> None:
        self._sockets = sockets
        self._poller = poller
        self._runtime = runtime
        self._register = register
        self._links: dict[str, zmq.Socket[bytes]] = {}
        self._frame = b""
        self._next_register = 0.0
        self.incarnation = 0
        self.registered = False
        """Whether this incarnation's storage will tell the results of proposals made from now on."""

    def follow(self, incarnation: int, now: float) -> bool:
        """Go over to another incarnation (0: none is running); whether it was another one."""
        changed = incarnation != self.incarnation
        if changed:
            for link in self._links.values():
                self._poller.unregister(link)
                link.close(0)
            self._links = {}
            self.incarnation, self.registered = incarnation, False
            self._frame = codec.incarnation_frame(incarnation)
            for part in _PARTS if incarnation else ():
                endpoint = ipc_endpoint(self._runtime, incarnation, f"{part}.gateways")
                self._links[part] = self._sockets.connect_local(endpoint)
                self._poller.register(self._links[part], zmq.POLLIN)
            self._next_register = now
        if self._links and now >= self._next_register:
            self._next_register = now + REGISTER_SECONDS
            self._send("storage", self._register)
        return changed

    def propose(self, proposal: Propose) -> bool:
        """Hand a proposal to this node's replication; False: it certainly did not leave."""
        return self._send("replication", proposal)

    def ask_round(self, message: RoundRequest) -> bool:
        """Ask election for a round."""
        return self._send("election", message)

    def ask_transfer(self, message: TransferRequest) -> bool:
        """Ask election to hand the leadership over."""
        return self._send("election", message)

    def wait_applied(self, index: int) -> bool:
        """Ask storage to tell when ``index`` is applied."""
        return self._send("storage", WaitApplied(index))

    def arrived(self, events: Mapping[object, int]) -> list[Message]:
        """What has come from this incarnation."""
        messages: list[Message] = []
        for part, link in self._links.items():
            if link in events:
                channel = _CHANNELS[part]
                for incarnation, frame in drain(link, DRAIN_MESSAGES):
                    if incarnation == self._frame:  # S1
                        message = channel.decode(frame)
                        messages.append(message)
                        self.registered = self.registered or isinstance(message, Registered)
        return messages

    def _send(self, part: str, message: Register | Propose | RoundRequest | TransferRequest | WaitApplied) -> bool:
        link = self._links.get(part)
        return link is not None and send(link, [self._frame, codec.encode(message)])


_CHANNELS: dict[str, codec.Channel[Message]] = {
    "election": codec.election_to_gateway,
    "replication": codec.replication_to_gateway,
    "storage": codec.storage_to_gateway,
}
