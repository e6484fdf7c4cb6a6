"""The proposals that a leader has seen: a second copy of one is neither made nor refused (S9).

To make it would be to execute its commands twice, also when the first copy was refused: they have been proposed again
since, under another number. To refuse it would be to say that the first copy is nowhere, and it may be in the log.

Each member's are counted by themselves, so that one member's faults are nobody else's: who claims terms of the future
makes its own of the present old.
"""

from __future__ import annotations

from zraft.protocol.entries import Origin

MEMBERS_MAX = 64
"""So many members' proposals are told apart: more than a cluster has, as those who follow a removed one count, too."""
STARTS_MAX = 128
"""So many starts of a member's gateways are known in one term."""
TERMS_MAX = 8


class Seen:
    """The proposals of all members; of more members than ``MEMBERS_MAX`` the most silent one is forgotten first."""

    def __init__(self) -> None:
        self._members: dict[int, _SeenOfMember] = {}

    def is_copy(self, term: int, origin: Origin) -> bool:
        """Whether this proposal for ``term`` has come before, or might have; from now on it has.

        A gateway numbers its proposals in ascending order, and connections keep it: a lower number is an older one.
        """
        member = self._members.pop(origin.member, None) or _SeenOfMember()
        self._members[origin.member] = member  # the newest stands last
        if len(self._members) > MEMBERS_MAX:
            del self._members[next(iter(self._members))]
        return member.is_copy(term, origin)


class _SeenOfMember:
    """Invariant: of the newest ``TERMS_MAX`` terms that its proposals named it is known which ones have come."""

    def __init__(self) -> None:
        self._numbers: dict[int, dict[int, int]] = {}  # by term: the highest number of each gateway start, by its nonce
        self._forgotten = 0  # of this term, and those before, nothing is known any more

    def is_copy(self, term: int, origin: Origin) -> bool:
        if term <= self._forgotten:
            return True
        numbers = self._numbers.setdefault(term, {})
        if origin.number <= numbers.get(origin.nonce, 0):
            return True
        numbers.pop(origin.nonce, None)  # the newest stands last
        numbers[origin.nonce] = origin.number
        if len(numbers) > STARTS_MAX:
            del numbers[next(iter(numbers))]  # of the gateway start that has been silent for longest
        if len(self._numbers) > TERMS_MAX:
            self._forgotten = min(self._numbers)
            del self._numbers[self._forgotten]
        return False
