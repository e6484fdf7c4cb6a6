"""What other nodes' gateways pass to the leader's: their proposals, for its replication."""

from __future__ import annotations

from zraft.core.seen import Seen
from zraft.errors import NotLeader, ResourceExhausted, ZraftError
from zraft.protocol.local import Propose
from zraft.protocol.peer import Forward, NotProposed


class Forwarded:
    """All proposals that were passed to one gateway: each is proposed or refused once (S9)."""

    def __init__(self) -> None:
        self._seen = Seen()

    def take(self, message: Forward, lack: ZraftError | None) -> Propose | NotProposed | None:
        """What to make of one: a proposal to the own replication, or its refusal; None: nothing of a second copy.

        ``lack``: why this node has no room for it, if it has none. Only the leader's lack of it is a refusal; any other
        node's replication refuses by itself.
        """
        if self._seen.is_copy(message.term, message.origin):
            return None
        if isinstance(lack, ResourceExhausted):
            return NotProposed(message.origin, lack.code, lack.message)
        return Propose(message.term, message.origin, message.grows, message.payload, message.kind)

    @staticmethod
    def unsent(message: Propose) -> NotProposed:
        """The refusal of a proposal that could not be given to replication."""
        return NotProposed(message.origin, NotLeader.code, "the leader's node is restarting")
