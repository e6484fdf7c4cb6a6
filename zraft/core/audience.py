"""The gateways to which a storage tells results and what has been applied: who is registered, and what each is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from zraft.core.applier import Outcome
from zraft.protocol.local import Applied, Register, Registered, Results, StorageToGateway, WaitApplied

GATEWAYS_MAX = 64

To = TypeVar("To")
"""Where a gateway is told something: whoever drives this knows."""


class _Gateway(Generic[To]):
    def __init__(self, to: To, nonce: int) -> None:
        self.to = to
        self.nonce = nonce
        self.waits: set[int] = set()


class Audience(Generic[To]):
    """The gateways of a node, each by its number, and what they wait for.

    What is to be told comes as (number of the gateway, message), in the order in which it must arrive. Whoever could
    not be told something is to be forgotten: until it registers again it hears nothing, and then that results may be
    missing. So it never concludes from their absence that what it proposed was not executed.
    """

    def __init__(self) -> None:
        self._gateways: dict[int, _Gateway[To]] = {}

    def place(self, gateway: int) -> To | None:
        """Where to tell it something; None: it is not registered, or was forgotten meanwhile."""
        known = self._gateways.get(gateway)
        return known.to if known else None

    def forget(self, gateway: int) -> None:
        """It could not be told something."""
        self._gateways.pop(gateway, None)

    def register(self, to: To, message: Register) -> list[tuple[int, StorageToGateway]]:
        """Meet a gateway, again or for the first time. It is fresh if it may have missed something."""
        known = self._gateways.get(message.gateway)
        fresh = known is None or known.nonce != message.nonce or known.to != to
        if fresh:
            self._gateways[message.gateway] = _Gateway(to, message.nonce)
            if len(self._gateways) > GATEWAYS_MAX:
                del self._gateways[next(iter(self._gateways))]
        return [(message.gateway, Registered(fresh))]

    def wait(self, to: To, message: WaitApplied, applied: int) -> list[tuple[int, StorageToGateway]]:
        """Who asks is told once the index has been applied; a stranger is not."""
        for gateway in self._gateways.values():
            if gateway.to == to:
                gateway.waits.add(message.index)
        return self._reached(applied)

    def tell(self, outcomes: Sequence[Outcome], applied: int) -> list[tuple[int, StorageToGateway]]:
        """Results for the gateway that proposed, new terms for all, and ``applied`` for each who waits for it."""
        told: list[tuple[int, StorageToGateway]] = []
        for outcome in outcomes:
            if isinstance(outcome, Results):
                gateway = self._gateways.get(outcome.origin.gateway)
                if gateway is not None and gateway.nonce == outcome.origin.nonce:
                    told.append((outcome.origin.gateway, outcome))
            else:
                told += [(number, outcome) for number in self._gateways]
        return told + self._reached(applied)

    def skipped(self) -> list[tuple[int, StorageToGateway]]:
        """A snapshot took the place of entries: what they came to for anybody here is not known, and never will be.

        Told before any term or result that comes behind them, from which a gateway would conclude that what it
        proposed in between was never executed, and propose it once more.
        """
        return [(number, Registered(True)) for number in self._gateways]

    def _reached(self, applied: int) -> list[tuple[int, StorageToGateway]]:
        told: list[tuple[int, StorageToGateway]] = []
        for number, gateway in self._gateways.items():
            if gateway.waits and min(gateway.waits) <= applied:
                gateway.waits = {index for index in gateway.waits if index > applied}
                told.append((number, Applied(applied)))
        return told
