"""Election: who leads. Role, ballots, heartbeat rounds, and the promise that reads and leases rest on.

::

    follower ──time-out──► pre-candidate ──majority would vote──► candidate ──majority voted──► leader
        ▲                       │                                     │                           │
        └── a leader is heard, a higher term is met, no majority answers, or this node can't work ┘

The election actor owns no durable state. What it knows of the term comes from storage, which decides every vote;
what it adds is time: stickiness, the promise (S7), check-quorum, and the rounds behind every linearizable read.
"""

from __future__ import annotations

from collections.abc import Callable

from zraft.core.ballot import Ballot, Phase
from zraft.core.effects import Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.lease import Lease
from zraft.core.promise import Promise
from zraft.core.quorum import Quorum
from zraft.core.roles import (
    CANDIDATE,
    FOLLOWER,
    LEADER,
    REPLICATION,
    STORAGE,
    Effect,
    LocalMessage,
    PeerMessage,
    PublishRole,
    Timing,
)
from zraft.core.rounds import Rounds
from zraft.core.transfer import Transfer
from zraft.core.vitality import Vitality
from zraft.errors import InvariantViolated
from zraft.protocol.entries import Configuration
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Deposed,
    Lead,
    Ping,
    Pong,
    Ready,
    RoleGroup,
    RoundAnswer,
    RoundRequest,
    StatusQuery,
    Stop,
    StorageStatus,
    TransferRequest,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import Heartbeat, HeartbeatAnswer, PreVote, PreVoteAnswer, TimeoutNow, Vote, VoteAnswer


class Election:
    """The election core of one member. ``now`` is seconds of one machine's clock; ``jitter()`` is within [0, 1)."""

    def __init__(
        self, me: int, status: StorageStatus, timing: Timing, started: float, now: float, jitter: Callable[[], float]
    ) -> None:
        self.me = me
        self.role = FOLLOWER
        self.leader = 0
        self.configuration = status.configuration
        self._published: RoleGroup | None = None
        self._timing = timing
        self._jitter = jitter
        self._promise = Promise(started, timing.election_min)
        self._promise.learn(status.term)
        self._seen_term = status.term  # the highest term met anywhere; the next ballot goes above it (trap 4)
        self._ballot: Ballot | None = None
        self._ballots = 0
        self._rounds: Rounds | None = None
        self._lease = Lease(timing.lease)
        self._transfer = Transfer(me, timing.election_max)
        self._next_round = now
        self._vitality = {name: Vitality(now, timing.stall_limit) for name in (STORAGE, REPLICATION)}
        self._pings = 0
        self._next_ping = now
        self._timeout = 0.0
        self._reset_timeout(now)

    @property
    def term(self) -> int:
        """The term that storage is known to hold."""
        return self._promise.term

    def next_deadline(self) -> float:
        """When ``tick`` must be called next."""
        return min(self._next_ping, self._next_round if self._rounds else self._timeout, self._transfer.deadline())

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        effects: list[Effect] = []
        if now >= self._next_ping:
            effects += self._ping(now)
        if now >= self._transfer.deadline():
            told, leaves = self._transfer.give_up(self._rounds.term if self._rounds else 0, self.configuration)
            effects += [*told, *(self._leave_office("it can't work, and nobody takes over", now) if leaves else [])]
        if self._rounds is not None:
            return effects + self._tick_leader(self._rounds, now)
        if now >= self._timeout:
            effects += self._start_ballot(now)
        return effects

    def step(self, message: PeerMessage | LocalMessage, now: float, sender: int = 0) -> list[Effect]:
        """One message: from member ``sender``, or from an actor of this node."""
        effects = self._dispatch(message, now, sender)
        if self._rounds is not None and self._rounds.term < self.term:
            # Storage moved on by a vote or an Append that this actor did not decide: never lead below it.
            effects += self._follow(0, self.term, now, "storage is at a higher term")
        return effects

    def _dispatch(self, message: PeerMessage | LocalMessage, now: float, sender: int) -> list[Effect]:
        match message:
            case Heartbeat():
                return self.on_heartbeat(message, sender, now)
            case HeartbeatAnswer():
                return self.on_heartbeat_answer(message, sender, now)
            case RoundRequest():
                return self.on_round_request(message, now)
            case PreVote() | Vote():
                return self.on_vote(message, sender, now)
            case VoteQueryAnswer():
                return self.on_vote_query_answer(message, now)
            case PreVoteAnswer() | VoteAnswer():
                return self.on_vote_answer(message, sender, now)
            case StorageStatus():
                return self.on_storage_status(message, now)
            case CampaignAnswer():
                return self.on_campaign_answer(message, now)
            case Deposed():
                return self._meet(message.term, now, "replication met a higher term")
            case TransferRequest():
                term = self._rounds.term if self._rounds else 0
                return self._transfer.ask(message, term, self.configuration, now)
            case Ready():
                return self.on_ready(message, now)
            case TimeoutNow():
                return self.on_timeout_now(message, sender, now)

    # --- following

    def on_heartbeat(self, message: Heartbeat, leader: int, now: float) -> list[Effect]:
        """Acknowledge a leader unless a promise forbids it (S7); tell an old one which term it is now (trap 8)."""
        if message.term < self.term:
            return [Send(leader, HeartbeatAnswer(message.term, message.round, False, self.term))]
        if not self._promise.acknowledges(message.term):
            return [Ignored(f"heartbeat of term {message.term}, but a vote above it is with storage")]
        if self._rounds is not None and message.term == self._rounds.term:
            raise InvariantViolated("election safety", term=message.term, leader=leader, me=self.me)
        effects = self._follow(leader, message.term, now)
        self._promise.heard(now)
        effects += self._transfer.done(self.configuration.name_of(leader), message.term)
        self._reset_timeout(now)
        if self._vitality[STORAGE].stalled(now):
            return [*effects, Ignored("no acknowledgement: storage makes no progress")]
        return [*effects, Send(leader, HeartbeatAnswer(message.term, message.round, True, message.term))]

    def on_vote(self, message: PreVote | Vote, candidate: int, now: float) -> list[Effect]:
        """Hand a (pre-)vote to storage, unless a leader was heard lately: this node's own leadership counts (S7)."""
        durable, effects = isinstance(message, Vote), list[Effect]()
        transfer = isinstance(message, Vote) and message.transfer
        if transfer and self._rounds is not None and self._lease.is_surrendered(self._rounds.term):
            effects = self._meet(message.term, now, "hands over")  # who asked for this ballot leads no more (S8)
        if message.term < self.term or not self._promise.may_grant(now, transfer) or self._rounds is not None:
            answer = VoteAnswer if durable else PreVoteAnswer
            return [*effects, Send(candidate, answer(message.term, message.ballot, False, self.term))]
        if durable:
            self._promise.grant(message.term, candidate)
        return [*effects, ToStorage(VoteQuery(message.term, candidate, message.ballot, message.last, durable))]

    def on_vote_query_answer(self, message: VoteQueryAnswer, now: float) -> list[Effect]:
        """Storage decided: tell the candidate."""
        effects: list[Effect] = []
        answer = VoteAnswer if message.durable else PreVoteAnswer
        if message.durable:
            self._promise.settle(message.term, message.candidate, message.granted, message.storage_term)
            if message.granted:
                self._reset_timeout(now)  # [R] 5.2: who granted a vote waits
                if not self._knows_leader_of(message.term):
                    effects += self._follow(0, message.term, now)
        self._seen_term = max(self._seen_term, message.storage_term)
        return [
            *effects,
            Send(message.candidate, answer(message.term, message.ballot, message.granted, message.storage_term)),
        ]

    def on_timeout_now(self, message: TimeoutNow, leader: int, now: float) -> list[Effect]:
        """The leader asks us to take its place: one campaign in the next term, without a pre-vote (S8).

        Only of the leader that we follow, in the term that storage is known to hold, and once; what was promised to
        others holds. Whatever becomes of it, the next ballot is an ordinary one.
        """
        follows = (leader, message.term) == (self.leader, self.term) and self._promise.acknowledges(message.term)
        if not follows or any(vitality.stalled(now) for vitality in self._vitality.values()):
            return [Ignored(f"{leader:016x} of term {message.term} is not followed, or this node can't work")]
        if not self._transfer.takes_over(message.term):
            return [Ignored(f"it has asked for a campaign in term {message.term} before")]
        self._reset_timeout(now)
        self._ballots += 1
        self._ballot = Ballot(self._ballots, message.term + 1, transfer=True)
        self.role, self.leader = CANDIDATE, 0
        return [self._publish("the leader hands over"), *self._campaign(self._ballot, now)]

    # --- the ballot

    def on_storage_status(self, message: StorageStatus, now: float) -> list[Effect]:
        """Storage told what it holds: ask the others whether a campaign has a chance."""
        self._promise.learn(message.term)
        ballot = self._ballot
        if ballot is None or ballot.phase is not Phase.ASKING_STORAGE:
            return [Ignored("no ballot waits for storage's status")]
        self.configuration = message.configuration
        if self.me not in message.configuration.voters():
            self._ballot = None
            return [Ignored("not a voter")]
        ballot.term = max(self._seen_term, message.term) + 1
        ballot.enter(Phase.PRE_VOTE, message.last, message.configuration)
        if ballot.count(self.me):
            return self._campaign(ballot, now)
        request = PreVote(ballot.term, ballot.number, ballot.last)
        return [Send(voter, request) for voter in self._others(ballot.configuration)]

    def on_campaign_answer(self, message: CampaignAnswer, now: float) -> list[Effect]:
        """Our own storage voted for us: now votes may be asked for, and counted (S7)."""
        self._promise.settle(message.term, self.me, message.granted, message.storage_term)
        self._seen_term = max(self._seen_term, message.storage_term)
        ballot = self._ballot
        if ballot is None or not ballot.accepts(Phase.CAMPAIGN, message.term, message.ballot):
            return [Ignored(f"answer to the campaign of closed ballot {message.ballot}")]
        if not message.granted:
            return self._follow(0, self.term, now)
        self.configuration = message.configuration
        ballot.enter(Phase.VOTE, message.last, message.configuration)
        if ballot.count(self.me):
            return self._lead(ballot, now)
        request = Vote(ballot.term, ballot.number, ballot.last, ballot.transfer)
        return [Send(voter, request) for voter in self._others(ballot.configuration)]

    def on_vote_answer(self, message: PreVoteAnswer | VoteAnswer, voter: int, now: float) -> list[Effect]:
        """Count a (pre-)vote for the ballot that it was given to, and for no other."""
        phase = Phase.VOTE if isinstance(message, VoteAnswer) else Phase.PRE_VOTE
        self._seen_term = max(self._seen_term, message.storage_term)
        ballot = self._ballot
        if ballot is None or not ballot.accepts(phase, message.term, message.ballot):
            return [Ignored(f"answer to ballot {message.ballot} of term {message.term}, which is closed")]
        if not message.granted:
            return [Ignored(f"refused by {voter:016x} in term {message.storage_term}")]
        if not ballot.count(voter):
            return []
        return self._campaign(ballot, now) if phase is Phase.PRE_VOTE else self._lead(ballot, now)

    def _start_ballot(self, now: float) -> list[Effect]:
        self._reset_timeout(now)
        for name, vitality in self._vitality.items():
            if vitality.stalled(now):  # it would lead, do nothing for as long as the limit lasts, and be elected again
                return [Ignored(f"no ballot: {name} makes no progress")]
        self._ballots += 1
        self._ballot = Ballot(self._ballots, 0)  # closes the one before (S7)
        effects: list[Effect] = [ToStorage(StatusQuery())]
        if self.role != CANDIDATE:
            self.role, self.leader = CANDIDATE, 0
            effects.append(self._publish("no leader was heard"))
        return effects

    def _campaign(self, ballot: Ballot, now: float) -> list[Effect]:
        if not self._promise.may_grant(now, ballot.transfer):
            return [Ignored("no campaign: a leader was heard meanwhile, or this actor has only just started")]
        ballot.phase = Phase.CAMPAIGN
        self._promise.grant(ballot.term, self.me)  # a Campaign is a grant to ourselves (S7)
        return [ToStorage(Campaign(ballot.term, ballot.number))]

    def _lead(self, ballot: Ballot, now: float) -> list[Effect]:
        self._ballot = None
        if not self._promise.acknowledges(ballot.term):
            return self._follow(0, self.term, now)
        self.role, self.leader = LEADER, self.me
        self._rounds = Rounds(ballot.term, self.me, Quorum(ballot.configuration.voters()), now)
        self._vitality[REPLICATION] = Vitality(now, self._timing.stall_limit)
        return [
            self._publish(f"elected by ballot {ballot.number}"),
            ToReplication(Lead(ballot.term, ballot.last, ballot.configuration)),
            *self._begin_round(self._rounds, now),
        ]

    # --- leading

    def on_heartbeat_answer(self, message: HeartbeatAnswer, member: int, now: float) -> list[Effect]:
        """A member acknowledged a round of ours, or knows a higher term."""
        if not message.acknowledged:
            return self._meet(message.current_term, now, f"{self.configuration.name_of(member)} knows a higher term")
        if self._rounds is None or message.term != self._rounds.term:
            return [Ignored(f"acknowledgement of term {message.term}")]
        self._rounds.answered(member, message.round)
        self._transfer.acknowledged(member, now)
        return self._confirm(self._rounds, now)

    def on_round_request(self, message: RoundRequest, now: float) -> list[Effect]:
        """A read waits for proof that we lead: a round that is sent from now on."""
        if self._rounds is None:
            return [ToGateway(message.gateway, RoundAnswer(message.request, 0))]
        self._rounds.wait(message.gateway, message.request)
        return self._begin_round(self._rounds, now) if self._rounds.wanted() else []

    def on_ready(self, message: Ready, now: float) -> list[Effect]:
        """A candidate has every entry: it shall campaign, and no lease of this term stands in its way (S8)."""
        if self._rounds is None or not self._transfer.ready(message, self._rounds.term, now):
            return [Ignored(f"hand-over {message.number} of term {message.term} is not under way")]
        return [*self._lease.surrender(message.term), Send(message.target, TimeoutNow(message.term))]

    def _begin_round(self, rounds: Rounds, now: float) -> list[Effect]:
        number = rounds.begin(now)
        self._promise.heard(now)  # a leader counts as hearing itself (S7)
        self._next_round = now + self._timing.heartbeat
        beats: list[Effect] = [Send(to, Heartbeat(rounds.term, number)) for to in self._others(self.configuration)]
        return beats + self._confirm(rounds, now)

    def _confirm(self, rounds: Rounds, now: float) -> list[Effect]:
        before = rounds.confirmed
        done: list[Effect] = [
            ToGateway(gateway, RoundAnswer(asked, rounds.term)) for gateway, asked in rounds.confirm()
        ]
        if rounds.confirmed > before:
            done = [*self._lease.extend(rounds.term, rounds.confirmed_sent), *done]
        return done + self._begin_round(rounds, now) if rounds.wanted() else done

    def _tick_leader(self, rounds: Rounds, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name, vitality in self._vitality.items():
            if vitality.stalled(now):
                # A stuck replication can hand nothing over.
                handed = self._transfer.leave(rounds.term, self.configuration, now) if name == STORAGE else None
                if handed is None:
                    return self._leave_office(f"{name} makes no progress", now)
                effects += handed
        if now - rounds.confirmed_sent > self._timing.election_max:
            return self._follow(0, self.term, now, "no majority answers")  # check-quorum ([D] 6.2)
        return effects + (self._begin_round(rounds, now) if now >= self._next_round else [])

    def _leave_office(self, why: str, now: float) -> list[Effect]:
        stopped = self._follow(0, self.term, now, why)
        self._timeout += self._timing.election_max  # the others are first: else it might be elected again
        return stopped

    # --- common

    def pong(self, actor: str, message: Pong, now: float) -> list[Effect]:
        """Storage or replication answered a ping."""
        self._vitality[actor].pong(message.done, message.pending, now)
        return []

    def _ping(self, now: float) -> list[Effect]:
        self._pings += 1
        self._next_ping = now + self._timing.stall_limit / 8
        return [ToStorage(Ping(self._pings)), ToReplication(Ping(self._pings))]

    def _meet(self, term: int, now: float, why: str) -> list[Effect]:
        """Somebody is at a higher term: remember it, and lead no longer below it ([R] 5.1)."""
        self._seen_term = max(self._seen_term, term)
        if self._rounds is None or term <= self._rounds.term:
            return [Ignored(f"term {term} is met, but this node leads nothing below it")]
        return self._follow(0, self.term, now, why)

    def _follow(self, leader: int, term: int, now: float, why: str = "") -> list[Effect]:
        """Become or stay a follower: of ``leader``, or of nobody known (0)."""
        cleared, stopped = self._lease.clear(), list[Effect]()
        self._ballot = None
        if self._rounds is not None:
            stopped.append(ToReplication(Stop(self._rounds.term)))
            stopped += [ToGateway(gateway, RoundAnswer(request, 0)) for gateway, request in self._rounds.drop()]
            self._rounds = None
            self._reset_timeout(now)
        self._promise.learn(term)
        self._seen_term = max(self._seen_term, term)
        self.role, self.leader = FOLLOWER, leader
        if self._published == RoleGroup(self.term, self.role, self.leader):
            return [*cleared, *stopped]
        told = why or ("follows" if leader else "votes or waits")
        return [*cleared, self._publish(told), *stopped]

    def _knows_leader_of(self, term: int) -> bool:
        return self.leader != 0 and self._published is not None and self._published.term == term

    def _publish(self, why: str) -> PublishRole:
        self._published = RoleGroup(self.term, self.role, self.leader)
        return PublishRole(self._published, why)

    def _others(self, configuration: Configuration) -> list[int]:
        return [member.id for member in configuration.members if member.id != self.me]

    def _reset_timeout(self, now: float) -> None:
        low, high = self._timing.election_min, self._timing.election_max
        self._timeout = now + low + self._jitter() * (high - low)
