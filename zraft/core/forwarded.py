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
        self._known = 0

    def take(self, sender: int, message: Forward, known: int, lack: ZraftError | None) -> Propose | NotProposed | None:
        """What to make of one: a proposal to the own replication, or its refusal; None: it is passed over.

        So is a second copy, and one for a term that this node does not know: nobody can have taken it for the leader of
        that. (It would be remembered as seen, and a few of them would push out all terms in which others propose.)
        And one in another member's name, which would take its results, or its refusal, for those of an own one.

        Args:
            sender: the member whose gateway passed it on.
            message: what was passed on.
            known: the highest term that this node knows of now; it may forget it when its trio restarts.
            lack: why this node has no room for it, if it has none. Only the leader's lack of it is a refusal; any other
                node's replication refuses by itself.
        """
        if message.origin.member != sender:
            return None
        self._known = max(self._known, known)
        if message.term > self._known:
            return None
        if self._seen.is_copy(message.term, message.origin):
            return None
        if isinstance(lack, ResourceExhausted):
            return NotProposed(message.origin, lack.code, lack.message)
        return Propose(message.term, message.origin, message.grows, message.payload, message.kind)

    @staticmethod
    def unsent(message: Propose) -> NotProposed:
        """The refusal of a proposal that could not be given to replication."""
        return NotProposed(message.origin, NotLeader.code, "the leader's node is restarting")
