"""A node's gateway: the real policy of proposals and reads around simulated clients and pipes."""

from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.actors import Actor
from tests.simulation.invariants import require
from tests.simulation.page import SlowLook
from zraft.core import reads
from zraft.core.admission import Caller
from zraft.core.forwarded import Forwarded
from zraft.core.limits import is_serializable
from zraft.core.proposals import Proposals, SendProposal, Tell, Waiting
from zraft.core.reads import AnswerPeer, AskElection, AskLeader, PeerRead, Read, Reads, Serve
from zraft.core.records import CLUSTER_VERSION, read_cluster_version
from zraft.core.retention import Retention
from zraft.core.room import lack_of_room
from zraft.core.views import View
from zraft.errors import ZraftError
from zraft.protocol.codec import encode, response, split_results
from zraft.protocol.entries import Origin
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    Propose,
    Register,
    Registered,
    Results,
    RoundAnswer,
    WaitApplied,
)
from zraft.protocol.peer import Forward, NotProposed, ReadIndex, ReadIndexAnswer
from zraft.protocol.requests import Get, Range
from zraft.protocol.responses import ErrorResult

if TYPE_CHECKING:
    from tests.simulation.node import Node

GATEWAY = 0
POLL_SECONDS = 0.01
COMPACT_SECONDS = 1.0
REGISTER_SECONDS = 1.0
READ_LATER = 0.3
"""Of the reads: their transaction begins a moment after they might, or just behind storage's next commit."""
LATER_SECONDS = 0.005
OWN = Caller(b"", b"", 0)
"""Who asks for a compaction when it is the gateway itself."""


class GatewayActor(Actor):
    """Start number ``number`` of the node's gateway; that number is its nonce."""

    def __init__(self, node: "Node", number: int) -> None:
        super().__init__(node.world, node.clock, f"{node.id} gateway")
        self._node = node
        self._nonce = node.id * 1000 + number
        self._incarnation = 0
        self._registered = False
        self._next_register = 0.0
        self._inbox: deque[tuple[object, int, int]] = deque()
        self._proposals = Proposals(node.id, GATEWAY, self._nonce)
        self._reads = Reads(node.id, GATEWAY, self._nonce * 1_000_000)
        self._forwarded = Forwarded()
        self._retention = Retention(*node.cluster.retain)
        self._rounds: dict[int, int] = {}
        self._routes: dict[int, int] = {}  # member -> the start of its gateway that asked last
        self._later: list[Serve] = []
        self._at_any_time = node.cluster.reads_at_any_time
        self._looked = self.world.now
        self._turned = 0.0
        self._open: set[tuple[int, int]] = set()
        """(member, request) of peers' reads, and (0, request) of clients, as long as they wait."""
        self.wake()

    # --- what comes

    def submit(self, request: "Waiting | Read") -> None:
        """From a client."""
        self._open.add((0, int(request.client.request)))
        self._inbox.append((request, 0, 0))
        self.met()

    def receive(self, message: object, incarnation: int) -> None:
        """From an actor of this node."""
        self._inbox.append((message, 0, incarnation))
        self.met()

    def receive_peer(self, message: object, sender: int, incarnation: int) -> None:
        """From another node's gateway; answers carry our nonce back."""
        self._inbox.append((message, sender, incarnation))
        if self.alive:
            self.met()

    def on_death(self) -> None:
        self._node.gateway_died(self)

    def idle(self) -> bool:
        return not self._inbox

    def deadline(self) -> float | None:
        return self._turned + POLL_SECONDS if self._open else None

    def turn(self) -> None:
        now = self._turned = self.clock.now()
        waiting = len(self._later)
        self._look_at_trio(now)
        page = self._node.page
        # Reads that came a turn ago: between any two looks at the page, time passes that was this gateway's pause.
        slow_look, self._looked = SlowLook(page, self.clock, self.world, self._looked), self.world.now
        self._do(self._reads.by_lease(slow_look), now)
        self._do(self._reads.flush(page.role, page.commit, now), now)
        while self._inbox:
            message, sender, incarnation = self._inbox.popleft()
            if sender:
                self._on_peer(message, sender, incarnation, now)
            elif not incarnation or incarnation == self._incarnation:
                self._on_local(message, now)
        if self._registered:
            self._compact(now)
            for send in self._proposals.flush(page.role, now):
                self._propose(send, now)
        self._do(self._proposals.expire(now), now)
        self._do(self._reads.expire(now), now)
        later, self._later = self._later, []
        if not self._at_any_time:
            self._do(later, now)
            return
        self._later = later[waiting:]
        for serve in later[:waiting]:
            self.survive()
            self._begin(serve)

    def _look_at_trio(self, now: float) -> None:
        """A new incarnation forgot whom it owes what."""
        trio = self._node.trio
        if trio is None:
            return
        if trio.incarnation != self._incarnation:
            self._incarnation, self._registered = trio.incarnation, False
            self._on_forgotten(now)
            self._next_register = now
        if now >= self._next_register:
            self._next_register = now + REGISTER_SECONDS
            trio.gateway_to_storage.send(Register(GATEWAY, self._nonce))

    def _on_forgotten(self, now: float) -> None:
        """Storage does not know, or did not for a while, what this gateway waits for."""
        self._do(self._proposals.on_results_lost(), now)
        self._reads.on_trio_restarted(now)

    def _on_local(self, message: object, now: float) -> None:
        commit = self._node.page.commit
        match message:
            case Waiting(client, grows=grows):
                fault = self._lack_of_room(grows)
                if fault is None:
                    self._proposals.submit(message)
                else:
                    self._do([Tell(client, encode(ErrorResult(fault.code, fault.message)))], now)
            case Read(request=request):
                if is_serializable(request):
                    self._serve(Serve(0, (message,)))
                else:
                    self._reads.submit(message)
            case Registered(fresh):
                self._registered = True
                if fresh:
                    self._on_forgotten(now)
            case Results(origin, _, results):
                self._do(self._proposals.on_results(origin, split_results(results)), now)
            case AppliedTerm(term):
                self._proposals.on_applied_term(term, now)
            case Applied(index):
                self._do(self._reads.on_applied(index), now)
            case RoundAnswer(request, term):
                newest = self._rounds.pop(request, 0)
                if term:
                    self._node.cluster.invariants.round_confirmed(term, newest)
                self._do(self._reads.on_round(message, commit, now), now)
            case NotProposed(origin):
                self._refused(message, origin, now)

    def _on_peer(self, message: object, sender: int, incarnation: int, now: float) -> None:
        match message:
            case Forward():
                self._on_forward(message, sender)
            case ReadIndex(request):
                self._reads.submit(PeerRead(sender, request))
                self._open.add((sender, request))
                self._routes[sender] = incarnation
            case ReadIndexAnswer() if incarnation == self._nonce:
                self._do(self._reads.on_read_index(message, now), now)
            case NotProposed(origin):
                self._refused(message, origin, now)

    def _on_forward(self, message: Forward, sender: int) -> None:
        trio = self._node.trio
        role = self._node.page.role
        made = self._forwarded.take(message, role.term if role else 0, self._lack_of_room(message.grows))
        if isinstance(made, Propose):
            if trio is not None:
                trio.gateway_to_replication.send(made)
                return
            made = self._forwarded.unsent(made)
        if made is not None:
            self._node.send_of_gateway(sender, made, 0)

    # --- what the cores want

    def _lack_of_room(self, growing: bool) -> ZraftError | None:
        node = self._node
        leads = node.page.role is not None and node.page.role.leader == node.id
        return lack_of_room(self.name, node.space, leads=leads, growing=growing)

    def _compact(self, now: float) -> None:
        node = self._node
        _, revision, compacted, swept, _ = node.applied_state()
        state = node.state.committed() if self._at_any_time and node.state.open else node.state
        version = read_cluster_version(state.meta(CLUSTER_VERSION))
        self._retention.note(revision, compacted, swept, now)
        leads = node.page.role is not None and node.page.role.leader == node.id
        for command in self._retention.propose(now, version, node.space) if leads else ():
            self.world.note(self.name, command)
            self._proposals.submit(Waiting(OWN, encode(command), False, now + COMPACT_SECONDS))

    def _propose(self, send: SendProposal, now: float) -> None:
        proposal = send.proposal
        trio = self._node.trio
        self.world.note(self.name, f"proposes #{proposal.origin.number} in t{proposal.term} to {send.leader}")
        if send.leader != self._node.id:
            forward = Forward(proposal.term, proposal.origin, proposal.grows, proposal.payload, proposal.kind)
            self._node.send_of_gateway(send.leader, forward, self._nonce)
        elif trio is not None:
            trio.gateway_to_replication.send(proposal)
        else:
            self._proposals.unsent(proposal.origin, now)

    def _refused(self, message: NotProposed, origin: Origin, now: float) -> None:
        if origin.member != self._node.id:
            self._node.send_of_gateway(origin.member, message, 0)
        else:
            self._do(self._proposals.on_not_proposed(origin, message.code, message.message, now), now)

    def _do(self, effects: "list[reads.Effect] | list[Tell] | list[Serve]", now: float) -> None:
        node = self._node
        trio = node.trio
        for effect in effects:
            self.survive()
            match effect:
                case Tell(client, body):
                    self._tell(client, body, 0)
                case AskElection(message):
                    if trio is None:
                        self._reads.failed(message.request, now)
                    else:
                        self._rounds[message.request] = node.cluster.invariants.newest_term
                        trio.gateway_to_election.send(message)
                case AskLeader(leader, message):
                    node.send_of_gateway(leader, message, self._nonce)
                case AnswerPeer(member, message):
                    self._open.discard((member, message.request))
                    node.send_of_gateway(member, message, self._routes[member])
                case Serve():
                    self._serve(effect)

    def look(self) -> None:
        """Storage has just committed its state: a read that waits begins now, before storage does anything more."""
        if self.alive and self._later and self._at_any_time and self.free_at <= self.world.now:
            later, self._later = self._later, []
            for serve in later:
                self._begin(serve)

    def _serve(self, serve: Serve) -> None:
        """LMDB's readers don't see an open transaction, and begin whenever they like; in some runs ours do."""
        node = self._node
        if node.cluster.reads.random() < READ_LATER if self._at_any_time else node.state.open:
            self._later.append(serve)
            if self._at_any_time:
                self.world.after(LATER_SECONDS, self.wake)
        else:
            self._begin(serve)

    def _begin(self, serve: Serve) -> None:
        node = self._node
        view = View(node.state.committed() if node.state.open else node.state)
        if view.applied.index < serve.index:
            index = self._reads.behind(serve)
            if node.trio is not None:
                node.trio.gateway_to_storage.send(WaitApplied(index))
            return
        for read in serve.reads:
            if isinstance(read.request, Get | Range):
                self._tell(read.client, encode(view.answer(read.request)), view.applied.index)

    def _tell(self, client: Caller, body: bytes, applied: int) -> None:
        if client is OWN:
            self._retention.answered(response.decode(body), self.clock.now())
            return
        number = int(client.request)
        require((0, number) in self._open, "a request is answered once", request=number)
        self._open.remove((0, number))
        self._node.cluster.clients.told(client, body, applied)
