"""Proposals of one gateway: what its clients may be told about their writes, and when.

Commands gather while a few proposals are in flight, and leave together as one payload: batches grow with load, an
idle system answers at once. (One that is not answered for long counts no more: it may be lost.) A proposal names the
leader's term and is sent at most once (S9). It ends in one of three ways, never mixed:

- its results come from the own storage's apply;
- it certainly was not and never will be executed: it was refused, it could not be sent, or an entry of a later term
  has been applied without it (terms in a log never go back, so an entry of an older term can't follow). Its commands
  are proposed again, up to their deadline;
- nobody can tell: the time is up, or the trio was restarted and with it the memory of who waits. ``Unknown``.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import msgspec

from zraft.core.admission import Caller
from zraft.errors import NotLeader, ResourceExhausted, Unavailable, Unknown
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import EntryKind, Origin
from zraft.protocol.local import Propose, RoleGroup
from zraft.protocol.responses import ErrorResult

IN_FLIGHT_MAX = 4
PROPOSAL_BYTES_MAX = 1 << 20
"""A proposal stops gathering here; one command may be larger."""
PROPOSAL_COMMANDS_MAX = 4_096
RETURNED_BYTES = 64 << 10
"""What a command that returns the previous value counts beside its own size: every storage holds those values at once
while it applies the proposal, at worst 24 MiB."""
RETRY_SECONDS = 0.010
LEADERLESS_SHARE = 1 / 3
"""This share of its time a command waits for a leader to be known here. Then it is refused: whoever sent it has time
left to ask another node, which may know one where this one is cut off."""
LEFT_SECONDS = 0.5
"""Nobody asks another node with less time left: the command waits here to its end."""
SLOT_SECONDS = 1.0
"""So long does a proposal without an answer keep others waiting: it may have been lost on its way to the leader, whose
term goes on without it. Its own clients wait on."""


class Waiting(msgspec.Struct, frozen=True):
    """A command and who waits for its result, until ``deadline`` (seconds).

    ``returns``: its result may hold a value, so that fewer such commands fit in one proposal. ``kind``: of the entry
    that it is to become; a change of members is a proposal by itself.
    """

    client: Caller
    body: bytes
    grows: bool
    deadline: float
    returns: bool = False
    kind: EntryKind = EntryKind.COMMANDS


class Tell(msgspec.Struct, frozen=True):
    """Answer a client with an encoded response."""

    client: Caller
    body: bytes


class SendProposal(msgspec.Struct, frozen=True):
    """Send it to the replication of member ``leader``: once, or say ``unsent``. ``oldest``: when its first came."""

    leader: int
    proposal: Propose
    oldest: float = 0.0


class _InFlight(msgspec.Struct):
    """A proposal that was sent, and somebody still waits for.

    A command whose client was told in the meantime leaves None in its place. ``sent``: when it left; ``counts``:
    whether it is one of the ``IN_FLIGHT_MAX``.
    """

    term: int
    commands: list[Waiting | None]
    sent: float
    counts: bool = True

    def waiting(self) -> list[Waiting]:
        return [command for command in self.commands if command is not None]


Effect = Tell | SendProposal


class Proposals:
    """The writes of one start of one gateway; ``now`` is in seconds."""

    def __init__(self, member: int, gateway: int, nonce: int) -> None:
        self._origin = (member, gateway, nonce)
        self._number = 0
        self._queue: deque[Waiting] = deque()
        self._returned: dict[int, list[Waiting]] = {}  # certainly not executed: they leave again before all others
        self._in_flight: dict[int, _InFlight] = {}
        self._counted = 0  # of those
        self._applied_term = 0
        self._refused_term = 0
        self._retry_at = 0.0
        self._leaderless: float | None = None  # since when, as far as this gateway knows

    @property
    def in_flight(self) -> int:
        """Proposals that were sent and have no result yet."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """Commands that are not proposed yet, or are to be proposed again."""
        return len(self._queue) + sum(map(len, self._returned.values()))

    def submit(self, command: Waiting) -> None:
        """Take in a command that passed the limits."""
        self._queue.append(command)

    def flush(self, role: RoleGroup | None, now: float) -> list[SendProposal]:
        """Make proposals of what waits, for the leader that ``role`` names."""
        sends: list[SendProposal] = []
        if role is None or not role.leader or role.term < self._applied_term:
            self._leaderless = now if self._leaderless is None else self._leaderless
            return sends
        self._leaderless = None
        if not (self._queue or self._returned):
            return sends
        if role.term <= self._refused_term and now < self._retry_at:
            return sends
        while self._counted < IN_FLIGHT_MAX and (commands := self._gather()):
            self._number += 1
            self._counted += 1
            self._in_flight[self._number] = _InFlight(role.term, [*commands], now)
            kind = commands[0].kind
            bodies = [command.body for command in commands]
            payload = pack_commands(bodies) if kind == EntryKind.COMMANDS else bodies[0]
            grows = any(command.grows for command in commands)
            proposal = Propose(role.term, Origin(*self._origin, self._number), grows, payload, kind)
            sends.append(SendProposal(role.leader, proposal, commands[0].client.arrived))
        return sends

    def unsent(self, origin: Origin, now: float) -> None:
        """The shell could not send it: nothing left this process."""
        self._again(origin.number, now)

    def on_results(self, origin: Origin, results: list[bytes]) -> list[Tell]:
        """Our own storage applied the proposal: each command has its result."""
        proposal = self._take(origin.number) if self._is_ours(origin) else None
        if proposal is None:
            return []  # its clients were told Unknown at their deadline
        if len(results) != len(proposal.commands):  # storage could not read the commands as we did
            results = [encode(ErrorResult(Unknown.code, "the results do not fit"))] * len(proposal.commands)
        told = zip(proposal.commands, results, strict=True)
        return [Tell(command.client, body) for command, body in told if command is not None]

    def on_not_proposed(self, origin: Origin, code: str, message: str, now: float) -> list[Tell]:
        """It was refused before it was appended: try again if only the leader changed, else say why."""
        proposal = self._in_flight.get(origin.number) if self._is_ours(origin) else None
        if proposal is None:
            return []
        if code == NotLeader.code:
            self._again(origin.number, now)
            return []
        self._take(origin.number)
        refused = proposal.waiting()
        if code == ResourceExhausted.code and (growing := [command for command in refused if command.grows]):
            # What travelled with them does not grow the state, and goes on when space is short.
            if others := [command for command in refused if not command.grows]:
                self._returned[origin.number] = others
            refused = growing
        body = encode(ErrorResult(code, message))
        return [Tell(command.client, body) for command in refused]

    def on_applied_term(self, term: int, now: float) -> None:
        """An entry of ``term`` was applied: what was proposed in an older term and has no result was never executed."""
        self._applied_term = max(self._applied_term, term)
        for number, proposal in list(self._in_flight.items()):
            if proposal.term < term:
                self._again(number, now)

    def on_results_lost(self) -> list[Tell]:
        """Storage does not know any more who waits for results: what was proposed may have been executed or not."""
        body = encode(ErrorResult(Unknown.code, "the node restarted its storage before the result came"))
        told = [Tell(command.client, body) for flight in self._in_flight.values() for command in flight.waiting()]
        self._in_flight.clear()
        self._counted = 0
        self._refused_term = 0
        return told

    def expire(self, now: float) -> list[Tell]:
        """Answer everybody whose time is up: certainly not executed while it waited here, unknown once it was sent."""
        why = "no leader is known here" if self._leaderless is not None else "no leader took the command in time"
        body = encode(ErrorResult(Unavailable.code, f"{why}; it was not executed"))
        told = [Tell(command.client, body) for command in self._queue if self._is_over(command, now)]
        if told:
            self._queue = deque(command for command in self._queue if not self._is_over(command, now))
        for number, commands in list(self._returned.items()):
            told += [Tell(command.client, body) for command in commands if self._is_over(command, now)]
            self._returned[number] = [command for command in commands if not self._is_over(command, now)]
            if not self._returned[number]:
                del self._returned[number]
        unknown = encode(ErrorResult(Unknown.code, "no result came in time; the command may still take effect"))
        for number, proposal in list(self._in_flight.items()):
            for place, command in enumerate(proposal.commands):
                if command is not None and command.deadline <= now:
                    told.append(Tell(command.client, unknown))
                    proposal.commands[place] = None
            if not proposal.waiting():
                self._take(number)
            elif now - proposal.sent >= SLOT_SECONDS:
                self._free(proposal)
        return told

    def _is_over(self, command: Waiting, now: float) -> bool:
        """Whether a command that certainly was not executed waits here no longer."""
        if self._leaderless is None:
            return command.deadline <= now
        arrived = command.client.arrived
        patience = LEADERLESS_SHARE * (command.deadline - arrived)
        is_vain = now - max(arrived, self._leaderless) >= patience and command.deadline - now >= LEFT_SECONDS
        return is_vain or command.deadline <= now

    def _gather(self) -> list[Waiting]:
        """The commands of the next proposal: one that came back leaves again whole, the oldest first."""
        if self._returned:
            return self._returned.pop(min(self._returned))
        size = count = 0
        for command in islice(self._queue, PROPOSAL_COMMANDS_MAX):
            size += len(command.body) + (RETURNED_BYTES if command.returns else 0)
            alone = command.kind != EntryKind.COMMANDS
            if count and (alone or size > PROPOSAL_BYTES_MAX):
                break
            count += 1
            if alone:
                break
        return [self._queue.popleft() for _ in range(count)]

    def _again(self, number: int, now: float) -> None:
        """Have the commands proposed again, under another number, before what came after them."""
        proposal = self._take(number)
        if proposal is not None:
            self._returned[number] = proposal.waiting()
            self._refused_term = max(self._refused_term, proposal.term)
            self._retry_at = now + RETRY_SECONDS

    def _take(self, number: int) -> _InFlight | None:
        proposal = self._in_flight.pop(number, None)
        if proposal is not None:
            self._free(proposal)
        return proposal

    def _free(self, proposal: _InFlight) -> None:
        """Let another one leave in its place."""
        self._counted -= proposal.counts
        proposal.counts = False

    def _is_ours(self, origin: Origin) -> bool:
        return (origin.member, origin.gateway, origin.nonce) == self._origin
