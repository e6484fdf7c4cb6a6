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

from zraft.core.ballot import Ballot, Patience, Phase
from zraft.core.belonging import Belonging, no_member
from zraft.core.effects import Ignored, Send, ToGateway, ToReplication, ToStorage
from zraft.core.lease import Lease
from zraft.core.office import Office
from zraft.core.promise import Promise
from zraft.core.roles import (
    CANDIDATE,
    FOLLOWER,
    LEADER,
    Effect,
    LocalMessage,
    PeerMessage,
    PublishRole,
    Timing,
)
from zraft.core.transfer import Transfer
from zraft.core.vitality import REPLICATION, STORAGE, Pulse
from zraft.errors import InvariantViolated
from zraft.protocol.entries import Configuration
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Deposed,
    Lead,
    Members,
    Pong,
    Ready,
    Removed,
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
        self._belonging = Belonging(me, status)
        self._published: RoleGroup | None = None
        self._timing = timing
        self._patience = Patience(timing.election_min, timing.election_max, timing.stall_limit, jitter)
        self._promise = Promise(started, timing.election_min)
        self._promise.learn(status.term)
        self._seen_term = status.term  # the highest term met anywhere; the next ballot goes above it (trap 4)
        self._ballot: Ballot | None = None
        self._ballots = 0
        self._office: Office | None = None
        self._lease = Lease(timing.lease)
        self._transfer = Transfer(me, timing.election_max)
        self._pulse = Pulse(now, timing.stall_limit)
        self._timeout = now + self._patience.draw()

    @property
    def term(self) -> int:
        """The term that storage is known to hold."""
        return self._promise.term

    @property
    def configuration(self) -> Configuration:
        """The newest configuration that this actor heard of."""
        return self._belonging.configuration

    def next_deadline(self) -> float:
        """When ``tick`` must be called next."""
        return min(
            self._pulse.next_ping, self._office.next_round if self._office else self._timeout, self._transfer.deadline()
        )

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        effects: list[Effect] = []
        if now >= self._pulse.next_ping:
            ping = self._pulse.ping(now)
            effects += [ToStorage(ping), ToReplication(ping)]
        if now >= self._transfer.deadline():
            told, why = self._transfer.give_up(self._office.term if self._office else 0, self.configuration)
            effects += [*told, *(self._leave_office(f"{why}, and nobody takes over", now) if why else [])]
        if self._office is not None:
            return effects + self._tick_leader(self._office, now)
        if now >= self._timeout:
            effects += self._start_ballot(now)
        return effects

    def step(self, message: PeerMessage | LocalMessage, now: float, sender: int = 0) -> list[Effect]:
        """One message: from member ``sender``, or from an actor of this node."""
        effects = self._dispatch(message, now, sender)
        if self._office is not None and self._office.term < self.term:
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
            case Members():
                return self.on_members(message, now)
            case Removed():
                return self.on_removed(message, now)
            case TransferRequest():
                term = self._office.term if self._office else 0
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
        if self._office is not None and message.term == self._office.term:
            raise InvariantViolated("election safety", term=message.term, leader=leader, me=self.me)
        effects = self._follow(leader, message.term, now)
        self._promise.heard(now)
        self._patience.led()
        effects += self._transfer.done(self.configuration.name_of(leader), message.term)
        self._reset_timeout(now)
        if self._pulse.silent(STORAGE, now):  # one that answers, and has no room to apply, takes entries all the same
            return [*effects, Ignored("no acknowledgement: storage does not answer")]
        return [*effects, Send(leader, HeartbeatAnswer(message.term, message.round, True, message.term))]

    def on_vote(self, message: PreVote | Vote, candidate: int, now: float) -> list[Effect]:
        """Hand a (pre-)vote to storage, unless a leader was heard lately: this node's own leadership counts (S7)."""
        durable, effects = isinstance(message, Vote), list[Effect]()
        transfer = isinstance(message, Vote) and message.transfer
        if transfer and self._office is not None and self._lease.is_surrendered(self._office.term):
            effects = self._meet(message.term, now, "hands over")  # who asked for this ballot leads no more (S8)
        if message.term < self.term or not self._promise.may_grant(now, transfer) or self._office is not None:
            answer = VoteAnswer if durable else PreVoteAnswer
            removed = self._belonging.removed(candidate, message.last.index)
            return [*effects, Send(candidate, answer(message.term, message.ballot, False, self.term, removed))]
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
        if not follows or self._pulse.stalled(now):
            return [Ignored(f"{leader:016x} of term {message.term} is not followed, or this node can't work")]
        if not (self._promise.may_grant(now, transfer=True) and self._transfer.takes_over(message.term)):
            return [Ignored(f"this actor has only just started, or campaigned for term {message.term} before")]
        self._reset_timeout(now)
        self._ballots += 1
        self._ballot = Ballot(self._ballots, message.term + 1, transfer=True)
        self.role, self.leader = CANDIDATE, 0
        return [self._publish("the leader hands over"), *self._campaign(self._ballot, now)]

    # --- the ballot

    def on_storage_status(self, message: StorageStatus, now: float) -> list[Effect]:
        """Storage told what it holds: ask the others whether a campaign has a chance."""
        self._promise.learn(message.term)
        told: list[Effect] = [*self._belonging.learn(message, leads=self._office is not None)]
        ballot = self._ballot
        if ballot is None or ballot.phase is not Phase.ASKING_STORAGE:
            return told or [Ignored("no ballot waits for storage's status")]
        if not message.may_campaign:
            self._ballot = None
            return [*told, Ignored("not a voter")]
        ballot.term = max(self._seen_term, message.term) + 1
        ballot.enter(Phase.PRE_VOTE, message.last, message.configuration)
        if ballot.count(self.me):
            return [*told, *self._campaign(ballot, now)]
        request = PreVote(ballot.term, ballot.number, ballot.last)
        told += [Send(voter, request) for voter in ballot.configuration.others(self.me)]
        return told

    def on_campaign_answer(self, message: CampaignAnswer, now: float) -> list[Effect]:
        """Our own storage voted for us: now votes may be asked for, and counted (S7)."""
        self._promise.settle(message.term, self.me, message.granted, message.storage_term)
        self._seen_term = max(self._seen_term, message.storage_term)
        ballot = self._ballot
        if ballot is None or not ballot.accepts(Phase.CAMPAIGN, message.term, message.ballot):
            return [Ignored(f"answer to the campaign of closed ballot {message.ballot}")]
        if not message.granted:
            return self._follow(0, self.term, now)
        self._belonging.configuration = message.configuration
        ballot.enter(Phase.VOTE, message.last, message.configuration)
        if ballot.count(self.me):
            return self._lead(ballot, now)
        request = Vote(ballot.term, ballot.number, ballot.last, ballot.transfer)
        return [Send(voter, request) for voter in ballot.configuration.others(self.me)]

    def on_vote_answer(self, message: PreVoteAnswer | VoteAnswer, voter: int, now: float) -> list[Effect]:
        """Count a (pre-)vote for the ballot that it was given to, and for no other."""
        phase = Phase.VOTE if isinstance(message, VoteAnswer) else Phase.PRE_VOTE
        self._seen_term = max(self._seen_term, message.storage_term)
        ballot = self._ballot
        if ballot is None or not ballot.accepts(phase, message.term, message.ballot):
            return [Ignored(f"answer to ballot {message.ballot} of term {message.term}, which is closed")]
        if message.removed:
            return [no_member(message.removed, self.configuration.name_of(voter))]
        if not message.granted:
            return [Ignored(f"refused by {voter:016x} in term {message.storage_term}")]
        if not ballot.count(voter):
            return []
        return self._campaign(ballot, now) if phase is Phase.PRE_VOTE else self._lead(ballot, now)

    def _start_ballot(self, now: float) -> list[Effect]:
        self._patience.ended(self._ballot)
        self._reset_timeout(now)
        if name := self._pulse.hinders(now, self._promise.silence(now)):  # else it would win, do nothing, and win again
            return [Ignored(f"no ballot: {name} makes no progress")]
        self._ballots += 1
        self._ballot = Ballot(self._ballots, 0)  # closes the one before (S7)
        effects: list[Effect] = [ToStorage(StatusQuery())]
        role = CANDIDATE if self._belonging.may_campaign else FOLLOWER
        if (self.role, self.leader) != (role, 0):
            self.role, self.leader = role, 0
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
        self._office = Office(self.me, ballot, now, self._timing.heartbeat, self._lease, self._promise)
        self._pulse.begin(REPLICATION, now)
        self._patience.led()
        return [
            self._publish(f"elected by ballot {ballot.number}"),
            ToReplication(Lead(ballot.term, ballot.last, ballot.configuration)),
            *self._office.begin_round(now),
        ]

    # --- leading

    def on_members(self, message: Members, now: float) -> list[Effect]:
        """Our replication appended a configuration: rounds and leases count it from now on (S14)."""
        if self._office is None or message.term != self._office.term:
            return [Ignored(f"members of term {message.term}, which is not led")]
        self._belonging.configuration = message.configuration
        return self._office.count(message.configuration, now)

    def on_removed(self, message: Removed, now: float) -> list[Effect]:
        """The configuration without us is committed: somebody in it takes over ([D] 4.2.2), now if that can be."""
        if self._office is None or message.term != self._office.term:
            return [Ignored(f"removed in term {message.term}, which is not led")]
        why = "removed from the cluster"
        handed = self._transfer.leave(message.term, self.configuration, now, why)
        return self._follow(0, self.term, now, why) if handed is None else handed

    def on_heartbeat_answer(self, message: HeartbeatAnswer, member: int, now: float) -> list[Effect]:
        """A member acknowledged a round of ours, or knows a higher term."""
        if not message.acknowledged:
            return self._meet(message.current_term, now, f"{self.configuration.name_of(member)} knows a higher term")
        if self._office is None or message.term != self._office.term:
            return [Ignored(f"acknowledgement of term {message.term}")]
        self._transfer.acknowledged(member, now)
        return self._office.answered(member, message.round, now)

    def on_round_request(self, message: RoundRequest, now: float) -> list[Effect]:
        """A read waits for proof that we lead: a round that is sent from now on."""
        if self._office is None:
            return [ToGateway(message.gateway, RoundAnswer(message.request, 0))]
        return self._office.wait(message.gateway, message.request, now)

    def on_ready(self, message: Ready, now: float) -> list[Effect]:
        """A candidate has every entry: it shall campaign, and no lease of this term stands in its way (S8)."""
        if self._office is None or not self._transfer.ready(message, self._office.term, now):
            return [Ignored(f"hand-over {message.number} of term {message.term} is not under way")]
        return [*self._lease.surrender(message.term), Send(message.target, TimeoutNow(message.term))]

    def _tick_leader(self, office: Office, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for name in self._pulse.stalled(now) if office.rounds.confirmed else ():  # before, nobody could take over
            why, can_hand_over = f"{name} makes no progress", name != REPLICATION
            handed = self._transfer.leave(office.term, self.configuration, now, why) if can_hand_over else None
            if handed is None:
                return self._leave_office(why, now)
            effects += handed
        if now - office.rounds.confirmed_sent > self._timing.election_max:
            return self._follow(0, self.term, now, "no majority answers")  # check-quorum ([D] 6.2)
        return effects + (office.begin_round(now) if now >= office.next_round else [])

    def _leave_office(self, why: str, now: float) -> list[Effect]:
        stopped = self._follow(0, self.term, now, why)
        self._timeout += self._timing.election_max  # the others are first: else it might be elected again
        return stopped

    # --- common

    def pong(self, actor: str, message: Pong, now: float) -> None:
        """Storage or replication answered a ping, or the gateway gave its sign of life."""
        self._pulse.pong(actor, message, now)

    def _meet(self, term: int, now: float, why: str) -> list[Effect]:
        """Somebody is at a higher term: remember it, and lead no longer below it ([R] 5.1)."""
        self._seen_term = max(self._seen_term, term)
        if self._office is None or term <= self._office.term:
            return [Ignored(f"term {term} is met, but this node leads nothing below it")]
        return self._follow(0, self.term, now, why)

    def _follow(self, leader: int, term: int, now: float, why: str = "") -> list[Effect]:
        """Become or stay a follower: of ``leader``, or of nobody known (0)."""
        cleared, stopped = self._lease.clear(), list[Effect]()
        self._ballot = None
        if self._office is not None:
            stopped.append(ToReplication(Stop(self._office.term)))
            stopped += self._office.drop()
            self._office = None
            stopped += self._belonging.catch_up()
            self._reset_timeout(now)
        self._promise.learn(term)
        self._seen_term = max(self._seen_term, term)
        self.role, self.leader = FOLLOWER, leader
        if self._published == RoleGroup(self.term, self.role, self.leader):
            return [*cleared, *stopped]
        return [*cleared, self._publish(why or ("follows" if leader else "votes or waits")), *stopped]

    def _knows_leader_of(self, term: int) -> bool:
        return self.leader != 0 and self._published is not None and self._published.term == term

    def _publish(self, why: str) -> PublishRole:
        self._published = RoleGroup(self.term, self.role, self.leader)
        return PublishRole(self._published, why)

    def _reset_timeout(self, now: float) -> None:
        self._timeout = now + self._patience.draw()
