"""Where a client may ask: the endpoints that it was given, those that the cluster tells, and the leader's, as a hint.

1. What was given is always asked, in its order, before what was learned; those that could not be reached come last.
2. What was learned is asked in addition, and left out for a while when it can't be reached: where nodes tell addresses
   that a client can't use (NAT, containers), the given endpoints serve as if nothing had been learned. If none
   of the given ones has been reached for a while, they may be gone for ever: one of the others is tried then, last.
3. What is learned are the members: a removed one's endpoint is forgotten, but for one that was given.
4. Members are asked for at the first answer, when another leader is heard of or an endpoint falls silent, and now and
   then, since members also change in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Set

from zraft.config import MEMBERS_MAX, WILDCARDS, split_endpoint
from zraft.errors import ConfigurationError
from zraft.protocol.responses import MembersResult

AVOID_S_MIN, AVOID_S_MAX = 1.0, 64.0
GONE_S = 4.0
"""Whoever is to be avoided for so long has been silent three times in a row, for 3 s at least: it may be gone."""
LEARN_EVERY_S = 3.0
"""How old what was learned may be when the client is in use: a member is hardly replaced faster than that."""
LEARN_PAUSE_S = 1.0
"""Members are not asked for more often, whatever happens."""


class Endpoints:
    """The endpoints of one client. All of them are ``host:port``; times are seconds of any clock that goes forward.

    Args:
        given: in the order in which to try them.
        learns: whether members that the cluster tells are asked as well.
    """

    def __init__(self, given: tuple[str, ...], learns: bool) -> None:
        self.given = given
        self._unheard = set(given)  # those that have never answered
        self._leader = ""
        self._leader_term = 0
        self._avoided: dict[str, tuple[float, float]] = {}
        self._learned: dict[int, str] = {}  # by member id
        self._learned_of = (0, 0)  # the term and the index of the members that were learned
        self._learn_at = -math.inf if learns else math.inf
        self._asked_at = -math.inf
        self._resorts = 0

    @property
    def learned(self) -> tuple[str, ...]:
        """Those that only the cluster told."""
        return tuple(endpoint for endpoint in self._learned.values() if endpoint not in self.given)

    def preferred(self, now: float, follow_leader: bool) -> Iterator[str]:
        """The endpoints to ask, best first; one may come twice."""
        if follow_leader and self._leader and not self._is_avoided(self._leader, now):
            yield self._leader
        late: list[str] = []
        for endpoint in self.given:
            if self._is_avoided(endpoint, now):
                late.append(endpoint)
            else:
                yield endpoint
        fresh = [endpoint for endpoint in self.learned if not self._is_avoided(endpoint, now)]
        yield from fresh
        yield from late
        if not fresh and all(self._avoided.get(endpoint, (0.0, 0.0))[0] >= GONE_S for endpoint in self.given):
            self._resorts += 1
            yield from self.learned[self._resorts % max(1, len(self.learned)) :][:1]

    def has_other(self, asked: Set[str], now: float) -> bool:
        """Whether there is one that would be asked next, beside those that were asked in this round."""
        return any(endpoint not in asked for endpoint in self.given) or any(
            endpoint not in asked and not self._is_avoided(endpoint, now) for endpoint in self._learned.values()
        )

    def on_leader(self, endpoint: str, term: int) -> None:
        """An answer names the leader, or none. A node that lags does not take the leader back."""
        if term < self._leader_term:
            return
        is_another = endpoint and (endpoint, term) != (self._leader, self._leader_term)
        self._leader, self._leader_term = endpoint, term  # nothing is called since the term was compared
        if is_another:
            self._learn_soon()

    def is_unheard(self, endpoint: str) -> bool:
        """Whether it was given, by people, who may err, and has never answered."""
        return endpoint in self._unheard

    def on_answer(self, endpoint: str) -> None:
        """An endpoint has answered, whatever it said: a node is there."""
        self._unheard.discard(endpoint)

    def on_service(self, endpoint: str) -> None:
        """An endpoint has done what it was asked, or said why not."""
        self._avoided.pop(endpoint, None)

    def on_silence(self, endpoint: str, now: float) -> None:
        """An endpoint could not be reached, or nothing came of it: avoid it, each time in a row for twice as long."""
        if self._is_avoided(endpoint, now):
            return  # another call found it out at the same time
        pause, _ = self._avoided.get(endpoint, (AVOID_S_MIN / 2, now))
        pause = min(2 * pause, AVOID_S_MAX)
        self._avoided[endpoint] = (pause, now + pause)
        # Hints come from outside: what was avoided long ago is forgotten, so that the table stays small.
        # Of a copy: a step within this one may change it.
        self._avoided = {key: at for key, at in self._avoided.copy().items() if now < at[1] + AVOID_S_MAX}
        self._learn_soon()

    def asks_for_members(self, now: float) -> bool:
        """Whether to ask for the members now; who is told so does it, and nobody else for a while."""
        if now < self._learn_at:
            return False
        self._asked_at, self._learn_at = now, now + LEARN_EVERY_S
        return True

    def on_members(self, result: MembersResult, term: int) -> None:
        """A node of that term has told the members as it knows them; one that lags takes nothing back.

        A node that does not know yet where clients of a member connect leaves it as it was.
        """
        if self._learn_at == math.inf or (term, result.index) < self._learned_of:
            return
        told = {
            one.member: one.client_endpoint if _is_usable(one.client_endpoint) else self._learned.get(one.member, "")
            for one in result.members[:MEMBERS_MAX]
        }
        learned = {member: endpoint for member, endpoint in told.items() if endpoint}
        if (term, result.index) >= self._learned_of:  # still, whatever a step within this one has learned
            self._learned_of, self._learned = (term, result.index), learned

    def _learn_soon(self) -> None:
        if self._learn_at != math.inf:
            self._learn_at = min(self._learn_at, self._asked_at + LEARN_PAUSE_S)

    def _is_avoided(self, endpoint: str, now: float) -> bool:
        avoided = self._avoided.get(endpoint)
        return avoided is not None and now < avoided[1]


def _is_usable(endpoint: str) -> bool:
    """Whether a client may reach the member there: one that listens everywhere may know no better address."""
    try:
        host, _ = split_endpoint(endpoint)
    except ConfigurationError:
        return False
    return host not in WILDCARDS
