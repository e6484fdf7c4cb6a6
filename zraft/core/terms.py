"""Which terms can be true.

A term is stored for good, and each ballot goes above the highest that was met ([R] 5.1). So one message with a term
near the end of the 64 bits, from a fault or from a stranger, would leave its receiver, and all whom it answers, without
any term to elect a leader in. Elections alone do not get that far: terms grow by one each.
"""

from __future__ import annotations

from typing import get_args

from zraft.errors import ProtocolError
from zraft.protocol.peer import (
    Append,
    ControlMessage,
    DataMessage,
    DataRequest,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    InstallSnapshot,
    PreVote,
    PreVoteAnswer,
    TimeoutNow,
    Vote,
    VoteAnswer,
)

TERM_LEAP_MAX = 1 << 32
"""Nobody is so many terms ahead of anybody: that were 20 years of ballots, one each 150 ms."""


_OF_LEADERS = (Heartbeat, TimeoutNow, *get_args(DataRequest))


def require_leader(message: ControlMessage | DataMessage, sender: int, leads: tuple[int, int]) -> None:
    """Whether what only the leader of a term says comes from no second one. ``leads``: (term, leader), as far as known.

    A term has one leader ([R] 5.2). Two would be a bug of ours; but from the network it is a claim, of whoever reached
    the port, and this node stays with the leader that it knows.

    Raises:
        ProtocolError: another member is known to lead that term.
    """
    term, leader = leads
    if isinstance(message, _OF_LEADERS) and message.term == term and leader not in (0, sender):
        raise ProtocolError(f"{sender:016x} says to lead term {term}, which {leader:016x} leads")


def require_near(message: ControlMessage | DataMessage, known: int) -> None:
    """Whether the terms in a peer's message can be true for whoever knows the term ``known``.

    Nor is there an entry of a later term than that of the leader who sends it, nor has a candidate one of the term for
    which it stands.

    Raises:
        ProtocolError: they can't; nothing of the message may be believed.
    """
    carried = 0
    match message:
        case Hello():
            return
        case PreVote() | Vote():
            term, carried = message.term, message.last.term + 1
        case Append():
            term, carried = message.term, message.previous.term
        case InstallSnapshot():
            term, carried = message.term, message.snapshot.term
        case PreVoteAnswer() | VoteAnswer():
            term = max(message.term, message.storage_term)
        case HeartbeatAnswer():
            term = max(message.term, message.current_term)
        case _:
            term = message.term
    if term > known + TERM_LEAP_MAX:
        raise ProtocolError(f"term {term} can't be true: this node knows of term {known}")
    if carried > term:
        raise ProtocolError(f"a message of term {term} speaks of an entry of a term that comes later")
