"""The gateway's part in leadership transfer: clients' commands, and the hand-over when this node is stopped."""

from __future__ import annotations

from zraft.actors.clients import Ask, Clients
from zraft.actors.trio import Trio
from zraft.errors import Unavailable, Unknown, from_code
from zraft.protocol import codec
from zraft.protocol.local import RoleGroup, TransferAnswer, TransferRequest
from zraft.protocol.requests import TransferLeadership
from zraft.protocol.responses import TransferResult

HAND_OVER_SECONDS = 0.8
"""So long may a hand-over take when the node stops: usually 20 ms. The supervisor gives a gateway 2 s in all."""
STOP_SECONDS = 1.0
"""So long is what is in flight waited for after that."""
CALM_SECONDS = 0.05
"""A gateway is calm when no client has asked anything for so long: those that did were sent to others."""


class HandOver:
    """Who waits for election to hand over: clients, and this node's own stop. Numbers begin at ``first``.

    A stop has two parts. As long as this node leads, it hands over and serves as ever. Then requests are refused, as
    certainly not executed, so that clients go elsewhere before their connection ends.
    """

    def __init__(self, clients: Clients, trio: Trio, gateway: int, first: int) -> None:
        self._clients = clients
        self._trio = trio
        self._gateway = gateway
        self._number = first
        self._asks: dict[int, Ask] = {}
        self._own = 0
        self._until = 0.0
        self._refusing_since = 0.0

    def ask(self, ask: Ask, request: TransferLeadership, now: float) -> None:
        """A client's command."""
        self._number += 1
        if self._trio.ask_transfer(TransferRequest(self._gateway, self._number, request.to)):
            self._asks[self._number] = ask
        else:
            self._clients.fail(ask.caller, Unavailable("the node is starting, and leads nothing"), now)

    def on_answer(self, message: TransferAnswer, now: float) -> None:
        """Election has handed over, or says why not."""
        if message.request == self._own:
            self._own = 0
        ask = self._asks.pop(message.request, None)
        if ask is None:
            return
        if message.code:
            self._clients.fail(ask.caller, from_code(message.code, message.message), now)
        else:
            self._clients.tell(ask.caller, codec.encode(TransferResult(message.leader, message.term)), now)

    def tick(self, successor: str, now: float) -> None:
        """Time has passed; ``successor`` is a member that had better lead instead of this node, or empty."""
        self.expire(now)
        if successor and not self._until:
            self._number += 1
            # Nobody waits for what comes of it: whoever wishes it tries again.
            self._trio.ask_transfer(TransferRequest(self._gateway, self._number, successor))

    def expire(self, now: float, trio_restarted: bool = False) -> None:
        """Answer whoever election will not answer in time, or at all."""
        why = "the node was restarted" if trio_restarted else "there was no answer in time"
        for number, ask in list(self._asks.items()):
            if trio_restarted or ask.deadline <= now:
                del self._asks[number]
                self._clients.fail(ask.caller, Unknown(f"{why}; the leadership may be handed over, or not"), now)

    # --- the node stops

    def begin_stop(self, me: int, role: RoleGroup | None, now: float) -> None:
        """Hand over first, if this node leads."""
        self._until = now
        if role is not None and role.leader == me:
            self._number += 1
            if self._trio.ask_transfer(TransferRequest(self._gateway, self._number, "")):
                self._own, self._until = self._number, now + HAND_OVER_SECONDS

    def refuses(self) -> bool:
        """Whether requests are refused by now."""
        return self._refusing_since > 0.0

    def is_stopped(self, now: float) -> bool:
        """Whether the gateway may end; ``begin_stop`` came before."""
        if not self._refusing_since:
            if self._own and now < self._until:
                return False
            self._refusing_since = now
        if now >= self._refusing_since + STOP_SECONDS:
            return True
        # Also of those who asked before: one that has just been answered may be about to ask again.
        return self._clients.is_calm(now - CALM_SECONDS)
