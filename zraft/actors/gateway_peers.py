"""The gateway plane: proposals and questions for the leader's gateway, and where each node's clients connect."""

from __future__ import annotations

from collections.abc import Mapping

import zmq

from zraft.actors.identity import Identity, seal
from zraft.actors.logs import Logger
from zraft.actors.peers import MESSAGES_PER_DRAIN, PeerLinks, peers_of
from zraft.actors.sockets import PEER_MESSAGES_MAX, Frames, Sockets, drain
from zraft.config import Settings
from zraft.connection import tcp
from zraft.core.preference import Preference, priority_of
from zraft.errors import ProtocolError
from zraft.protocol import codec
from zraft.protocol.local import IdentityGroup, RoleGroup
from zraft.protocol.peer import GATEWAY_BYTES_MAX, GatewayMessage, Greeting

GREET_SECONDS = 1.0
ENDPOINT_CHARACTERS_MAX = 300
"""A DNS name has up to 253."""
UNHEARD_SECONDS = 0.05
"""A greeting that did not leave, as there is no link yet, is tried again after this."""


class GatewayPeers:
    """The other gateways, by member id. Every message goes over our own link to its target."""

    def __init__(self, sockets: Sockets, poller: zmq.Poller, settings: Settings, nonce: int, logger: Logger) -> None:
        self._logger = logger
        self._nonce = nonce
        self._settings = settings
        self._priority = settings.priority
        address = tcp(settings.host, settings.peer_port + 2)
        self._router = sockets.bind_router(address, PEER_MESSAGES_MAX, GATEWAY_BYTES_MAX, "peer_port + 2 (gateways)")
        poller.register(self._router, zmq.POLLIN)
        self._links = PeerLinks(sockets, poller, settings.peer_addresses(), 2)
        self._identity: Identity | None = None
        self._others: tuple[int, ...] = ()
        self._voters: tuple[str, ...] = ()
        self._greet_at: dict[int, float] = {}
        self._preference = Preference()
        self.endpoints: dict[str, str] = {settings.id: settings.client_endpoint()}
        """Where clients of a member connect, by its name."""

    def meet(self, group: IdentityGroup) -> None:
        """The cluster has formed, or its members have changed: these are spoken to from now on, and nobody else."""
        configuration = group.configuration
        if self._identity is None:
            self._identity = Identity(group.member, group.cluster, configuration, self._nonce)
        self._identity.meet(configuration)
        self._others = tuple(member.id for member in configuration.members if member.id != group.member)
        self._voters = tuple(member.name for member in configuration.members if member.voter)
        self._greet_at = {member: at for member, at in self._greet_at.items() if member in self._others}
        self._links.follow(peers_of(self._settings, configuration))

    def tick(self, now: float, level: int) -> None:
        """Follow addresses; greet, since a gateway that was restarted has forgotten us. ``level``: of room here."""
        self._links.refresh(now)
        self._priority = priority_of(self._settings.priority, level)
        due = [member for member in self._others if now >= self._greet_at.get(member, now)]
        if due:
            greeting = Greeting(self._settings.id, self._settings.client_endpoint(), self._priority)
            for member in due:
                left = self.send(member, greeting)
                self._greet_at[member] = now + (GREET_SECONDS if left else UNHEARD_SECONDS)

    def send(self, member: int, message: GatewayMessage) -> bool:
        """Send to a member's gateway; False: it certainly did not leave."""
        identity = self._identity
        if identity is None:
            return False
        return self._links.send(identity.name_of(member), seal(identity.header_to(member), codec.encode(message)))

    def successor(self, role: RoleGroup | None, now: float) -> str:
        """Whom this node had better hand over to now, if it leads (see ``core.preference``); empty: nobody."""
        if self._identity is None or role is None:
            return ""
        term = role.term if role.leader == self._identity.me else 0
        name = self._preference.successor(self._priority, term, self._voters, now)
        if name:
            why = "this disk lacks room" if self._priority < 0 else ""
            self._logger.info("handing over to a node of higher priority", to=name, term=role.term, why=why)
        return name

    def arrived(self, events: Mapping[object, int], now: float) -> list[tuple[int, GatewayMessage]]:
        """(sender, message) of what has come; greetings are dealt with here."""
        messages: list[tuple[int, GatewayMessage]] = []
        self._links.arrived(events)  # nothing that we look at: answers come over the other's own link
        if self._router in events:
            for _, *frames in drain(self._router, MESSAGES_PER_DRAIN):
                try:
                    self._take(frames, messages, now)
                except (ProtocolError, ValueError) as error:
                    self._logger.every(10, "gateway message dropped", reason=str(error))
        return messages

    def close(self) -> None:
        """Look up no more names; the sockets belong to the actor."""
        self._links.close()

    def _take(self, frames: Frames, messages: list[tuple[int, GatewayMessage]], now: float) -> None:
        head, frame = frames
        if self._identity is None:
            return
        sender = self._identity.check(head, frame).sender
        message = codec.gateways.decode(frame)
        if isinstance(message, Greeting):
            if len(message.client_endpoint) > ENDPOINT_CHARACTERS_MAX:  # it stands in each answer to a client
                raise ProtocolError(f"a client endpoint of {len(message.client_endpoint)} characters")
            # Who was removed may never hear of it, and greets under the name that its successor has.
            if self._identity.name_of(sender) == message.name:
                self.endpoints[message.name] = message.client_endpoint
                self._preference.on_greeting(message.name, message.priority, now)
        else:
            messages.append((sender, message))
