"""Leadership transfer ([D] 3.10, S8): a leader hands over to a voter that has every entry.

::

    asked for ──HandOver──► replication takes no proposals, and waits for a candidate that has all entries
    Ready    ◄─────────────
    the lease is surrendered; then TimeoutNow leaves ──► the target campaigns at once, and is voted for at once
    a leader of a later term is heard: done. The time is up before: proposals are taken again

Whoever answers lately is a candidate: election knows that. Who has every entry is replication's to find out. Each of
the two waits, for a candidate and for its victory, lasts one maximum election time-out at most: by then the others
would have elected somebody without any help, so it is no use to hold up proposals for longer.
"""

from __future__ import annotations

import math

import msgspec

from zraft.core.effects import ToGateway, ToReplication
from zraft.core.roles import Effect
from zraft.errors import InvalidArgument, NotLeader, Unavailable, Unknown, ZraftError
from zraft.protocol.entries import Configuration
from zraft.protocol.local import HandOver, Ready, Resume, TransferAnswer, TransferRequest


class _Order(msgspec.Struct):
    """One hand-over. ``target``: who was told to campaign, 0 before. ``leaves``: why the leader goes in any case."""

    term: int
    number: int
    candidates: tuple[int, ...]
    deadline: float
    askers: list[TransferRequest]
    target: int = 0
    leaves: str = ""


class Transfer:
    """The hand-overs of one election actor, one at a time; ``patience`` in seconds."""

    def __init__(self, me: int, patience: float) -> None:
        self._me = me
        self._patience = patience
        self._acknowledged: dict[int, float] = {}  # when each member acknowledged a round of ours last
        self._order: _Order | None = None
        self._orders = 0
        self._taken_over = 0

    def deadline(self) -> float:
        """When ``give_up`` is due; infinite while nothing is handed over."""
        return self._order.deadline if self._order else math.inf

    def acknowledged(self, member: int, now: float) -> None:
        """A member has acknowledged a round of this leader."""
        self._acknowledged[member] = now

    def ask(self, request: TransferRequest, term: int, members: Configuration, now: float) -> list[Effect]:
        """Somebody wants the leader of ``term`` to hand over: begin, join what has begun, or say why not.

        ``term`` is 0 where none is led.
        """
        if not term:
            return [_failed(request, NotLeader("this node does not lead"))]
        if self._order is not None:
            self._order.askers.append(request)
            return []
        fault = self._fault_of(request.to, members, now)
        if fault is not None:
            return [_failed(request, fault)]
        wanted = [member.id for member in members.members if request.to in ("", member.name)]
        return self._begin(term, self._candidates(wanted, members, now), [request], now)

    def leave(self, term: int, members: Configuration, now: float, why: str) -> list[Effect] | None:
        """This leader can't work or was removed (``why``), and goes for good; None: there is nobody to hand over to.

        Whoever takes over is ready now or soon: an order that is under way goes on, and is this one's from now on.
        """
        effects: list[Effect] = []
        if self._order is None:
            candidates = self._candidates([member.id for member in members.members], members, now)
            if not candidates:
                return None
            effects = self._begin(term, candidates, [], now)
        if self._order is not None:
            self._order.leaves = self._order.leaves or why
        return effects

    def ready(self, message: Ready, term: int, now: float) -> bool:
        """Whether ``message`` answers the order that is under way; its target is about to be told to campaign."""
        order = self._order
        if order is None or order.target or (order.term, order.number) != (message.term, message.number):
            return False
        if order.term != term:
            return False
        order.target, order.deadline = message.target, now + self._patience
        return True

    def done(self, leader: str, term: int) -> list[Effect]:
        """The member named ``leader`` is heard to lead ``term``: whoever asked for a hand-over before is told."""
        order = self._order
        if order is None or term <= order.term:
            return []
        self._order = None
        answers: list[Effect] = []
        for asker in order.askers:
            if asker.to in ("", leader):
                answers.append(ToGateway(asker.gateway, TransferAnswer(asker.request, leader, term)))
            else:
                answers.append(_failed(asker, NotLeader(f"{leader} leads now, not {asker.to}: ask it")))
        return answers

    def give_up(self, term: int, members: Configuration) -> tuple[list[Effect], str]:
        """The time is up; returns also why the leader must step down all the same, empty if it need not.

        ``term`` is the one that this node leads now, 0 if it leads none.
        """
        order = self._order
        if order is None:
            return [], ""
        self._order = None
        leads = term == order.term
        seconds = f"within {self._patience:g} s"
        if not leads:
            why = f"the leadership of term {order.term} was given up, but no new leader was heard {seconds}"
        elif order.target:
            why = f"{members.name_of(order.target)} was asked to take over, and did not {seconds}; try again"
        else:
            names = ", ".join(members.name_of(one) for one in order.candidates)
            why = f"nobody of {names} had every entry {seconds}; try again when less is written"
        resume: list[Effect] = [ToReplication(Resume(order.term))] if leads else []
        return [*resume, *(_failed(asker, Unknown(why)) for asker in order.askers)], order.leaves if leads else ""

    def takes_over(self, term: int) -> bool:
        """Whether the leader of ``term``, which asks for a campaign, is followed: once in its term (S8)."""
        is_new = term > self._taken_over
        self._taken_over = max(self._taken_over, term)
        return is_new

    def _begin(self, term: int, candidates: tuple[int, ...], askers: list[TransferRequest], now: float) -> list[Effect]:
        self._orders += 1
        self._order = _Order(term, self._orders, candidates, now + self._patience, askers)
        return [ToReplication(HandOver(term, self._orders, candidates))]

    def _candidates(self, wanted: list[int], members: Configuration, now: float) -> tuple[int, ...]:
        voters = members.voters()
        return tuple(one for one in wanted if one in voters and one != self._me and self._silence(one, now) == 0.0)

    def _silence(self, member: int, now: float) -> float:
        """Seconds since a member answered last; 0 while it answers lately, which is what it takes to be a candidate."""
        silence = now - self._acknowledged.get(member, -math.inf)
        return silence if silence > self._patience else 0.0

    def _fault_of(self, to: str, members: Configuration, now: float) -> ZraftError | None:
        """Why nobody, or not the member named ``to``, can take over, and what to do."""
        others = [member for member in members.members if member.voter and member.id != self._me]
        names = ", ".join(member.name for member in others)
        if not others:
            return InvalidArgument("there is no other voter that could take over: add a member first")
        if not to:
            if self._candidates([member.id for member in others], members, now):
                return None
            return Unavailable(f"no other voter answers: start one of {names}")
        named = next((member for member in members.members if member.name == to), None)
        if named is None:
            return InvalidArgument(f"there is no member {to!r}: name one of {names}")
        if named.id == self._me:
            return InvalidArgument(f"{to} leads already: name one of {names}, or nobody to let the leader choose")
        if not named.voter:
            return InvalidArgument(f"{to} is a learner, and can't lead: name one of {names}")
        silence = self._silence(named.id, now)
        if silence:
            since = "yet" if math.isinf(silence) else f"for {silence:.1f} s"
            return Unavailable(f"{to} has not answered {since}: start it, or name another of {names}")
        return None


def _failed(asker: TransferRequest, error: ZraftError) -> Effect:
    return ToGateway(asker.gateway, TransferAnswer(asker.request, "", 0, error.code, error.message))
