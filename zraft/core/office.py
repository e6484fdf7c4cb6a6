"""A leader's term of office, as its election actor keeps it: heartbeat rounds, the lease, and reads that wait for both.

Rounds and lease count the configuration that the own replication appended last (S14).
"""

from __future__ import annotations

from zraft.core.ballot import Ballot
from zraft.core.effects import Send, ToGateway, ToReplication
from zraft.core.lease import Lease
from zraft.core.promise import Promise
from zraft.core.quorum import Quorum
from zraft.core.roles import Effect
from zraft.core.rounds import Rounds
from zraft.protocol.entries import Configuration
from zraft.protocol.local import Counted, RoundAnswer
from zraft.protocol.peer import Heartbeat


class Office:
    """From a ballot that was won to stepping down; ``heartbeat`` is the time between two rounds, in seconds."""

    def __init__(self, me: int, ballot: Ballot, now: float, heartbeat: float, lease: Lease, promise: Promise) -> None:
        self.term = ballot.term
        self.rounds = Rounds(ballot.term, me, Quorum(ballot.configuration.voters()), now)
        self.next_round = now
        self._me = me
        self._configuration = ballot.configuration
        self._heartbeat = heartbeat
        self._lease = lease
        self._promise = promise
        self._uncounted = 0, 0  # the round that must be confirmed, to say that a configuration (its index) is counted

    def begin_round(self, now: float) -> list[Effect]:
        """Ask everybody; the answers extend the lease, and confirm what waits."""
        number = self.rounds.begin(now)
        self._promise.heard(now)  # a leader counts as hearing itself (S7)
        self.next_round = now + self._heartbeat
        beats: list[Effect] = [Send(to, Heartbeat(self.term, number)) for to in self._configuration.others(self._me)]
        return beats + self._confirm(now)

    def answered(self, member: int, number: int, now: float) -> list[Effect]:
        """A member acknowledged a round of this term."""
        self.rounds.answered(member, number)
        return self._confirm(now)

    def wait(self, gateway: int, request: int, now: float) -> list[Effect]:
        """A read waits for proof that this node leads: a round that is sent from now on."""
        self.rounds.wait(gateway, request)
        return self.begin_round(now) if self.rounds.wanted() else []

    def count(self, configuration: Configuration, now: float) -> list[Effect]:
        """Our replication appended a configuration: rounds count it from now on.

        A lease that rests on the one before is still out there. So replication is told only when a round that began
        after this was confirmed: then the lease rests on this one (S14).
        """
        self._configuration = configuration
        self.rounds.count(Quorum(configuration.voters()))
        self._uncounted = self.rounds.number + 1, configuration.index
        return self.begin_round(now)

    def drop(self) -> list[Effect]:
        """The leader steps down: the reads that nothing will confirm are told so."""
        return [ToGateway(gateway, RoundAnswer(request, 0)) for gateway, request in self.rounds.drop()]

    def _confirm(self, now: float) -> list[Effect]:
        rounds = self.rounds
        before = rounds.confirmed
        done: list[Effect] = [
            ToGateway(gateway, RoundAnswer(asked, rounds.term)) for gateway, asked in rounds.confirm()
        ]
        if rounds.confirmed > before:
            counted = self._counted()
            done = [*self._lease.extend(rounds.term, rounds.confirmed_sent), *counted, *done]
        return done + self.begin_round(now) if rounds.wanted() else done

    def _counted(self) -> list[Effect]:
        number, index = self._uncounted
        if not index or self.rounds.confirmed < number:
            return []
        self._uncounted = 0, 0
        return [ToReplication(Counted(self.term, index))]
