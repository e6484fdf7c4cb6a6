"""Which terms can be true.

A term is stored for good, and each ballot goes above the highest that was met ([R] 5.1). So one message with a term
near the end of the 64 bits, from a fault or from a stranger, would leave its receiver, and all whom it answers, without
any term to elect a leader in. Elections alone do not get that far: terms grow by one each.
"""

from __future__ import annotations

from zraft.errors import ProtocolError
from zraft.protocol.peer import (
    ControlMessage,
    DataMessage,
    HeartbeatAnswer,
    Hello,
    PreVoteAnswer,
    VoteAnswer,
)

TERM_LEAP_MAX = 1 << 32
"""Nobody is so many terms ahead of anybody: that were 20 years of ballots, one each 150 ms."""


def require_near(message: ControlMessage | DataMessage, known: int) -> None:
    """Whether the terms in a peer's message can be true for whoever knows the term ``known``.

    Raises:
        ProtocolError: they can't; nothing of the message may be believed.
    """
    match message:
        case Hello():
            return
        case PreVoteAnswer() | VoteAnswer():
            term = max(message.term, message.storage_term)
        case HeartbeatAnswer():
            term = max(message.term, message.current_term)
        case _:
            term = message.term
    if term > known + TERM_LEAP_MAX:
        raise ProtocolError(f"term {term} can't be true: this node knows of term {known}")
