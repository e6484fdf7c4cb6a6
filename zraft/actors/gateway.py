"""The gateway actor: clients on one side, the trio of this node and other gateways on the other.

It decides nothing about consensus. Writes go to the leader's replication as proposals and come back as results of the
own storage; reads come straight from the map that storage writes, once it is certain which index they must see.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import deque

import zmq

from zraft.actors import metrics
from zraft.actors.backups import Backups
from zraft.actors.beat import Beat, Life
from zraft.actors.clients import UNREAD, Ask, Clients
from zraft.actors.clock import clock
from zraft.actors.compaction import Compaction
from zraft.actors.gateway_peers import GatewayPeers
from zraft.actors.hand_over import HandOver
from zraft.actors.hints import Hints
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Log
from zraft.actors.sockets import Sockets, poll, taken
from zraft.actors.state_reads import SLICE_SECONDS, StateReads
from zraft.actors.status import from_page
from zraft.actors.trio import Message, Trio
from zraft.core.admission import Limits
from zraft.core.forwarded import Forwarded
from zraft.core.limits import grows, is_serializable, is_write
from zraft.core.proposals import Proposals, SendProposal, Tell, Waiting
from zraft.core.reads import AnswerPeer, AskElection, AskLeader, Effect, PeerRead, Read, Reads, Serve
from zraft.core.room import lack_of_room
from zraft.errors import CorruptState, InvariantViolated, ResourceExhausted, Unavailable, ZraftError
from zraft.protocol import codec
from zraft.protocol.entries import Configuration, EntryKind
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    Propose,
    Register,
    Registered,
    Results,
    RoundAnswer,
    TransferAnswer,
)
from zraft.protocol.peer import Forward, GatewayMessage, Greeting, NotProposed, ReadIndex, ReadIndexAnswer
from zraft.protocol.requests import (
    PROTOCOL_VERSION,
    ChangeMember,
    Delete,
    ListMembers,
    Put,
    ReadBackup,
    TransferLeadership,
)
from zraft.protocol.responses import ResponseHeader
from zraft.store.directory import DataDirectory

GATEWAY = 0
"""Number of this gateway within its node."""
TURN_SECONDS = 0.010
"""Roles and terms change on the page without a message: it is looked at so often while somebody waits."""
IDLE_SECONDS = 0.100
EXPIRE_SECONDS = 0.050
READS_PER_SLICE = 64


def run(launch: Launch, stop: StopSignal, log: Log) -> None:
    """The body of the gateway process."""
    with contextlib.closing(GatewayActor(launch, log)) as actor:
        actor.run(stop)


class GatewayActor:
    """Polls, decodes, steps proposals and reads, answers."""

    def __init__(self, launch: Launch, log: Log) -> None:
        settings = launch.settings
        self._settings = settings
        self._log = log
        self._page = launch.open_page()
        self._sockets = Sockets()
        self._poller = zmq.Poller()
        self._nonce = secrets.randbits(63) or 1
        limits = Limits(
            settings.client_requests_max,
            settings.client_bytes_max,
            settings.gateway_requests_max,
            settings.gateway_bytes_max,
        )
        address, timeout = (settings.host, settings.port), settings.request_timeout_ms / 1000
        self._clients = Clients(self._sockets, address, limits, timeout, self._on_ask, log)
        for socket in (self._clients.socket, self._clients.monitor):
            self._poller.register(socket, zmq.POLLIN)
        self._trio = Trio(self._sockets, self._poller, launch.runtime, Register(GATEWAY, self._nonce))
        self._peers = GatewayPeers(self._sockets, self._poller, settings, self._nonce, log)
        self._beat = Beat(self._page, "gateway")
        self._depth = metrics.queue_depth("gateway", "messages")
        self._depth_of_reads = metrics.queue_depth("gateway", "reads")
        self._storage_life = Life(self._page, "storage")
        self._hints = Hints(self._page)
        self._state = StateReads(DataDirectory(settings.data_path()), settings.map_size_gib << 30)
        self._backups = Backups(settings)
        self._me = 0
        self._configuration: Configuration | None = None
        self._is_member = False  # of the newest configuration
        self._proposals = Proposals(0, GATEWAY, self._nonce)
        self._forwarded = Forwarded()
        self._reads = Reads(0, GATEWAY, self._nonce)
        self._compaction = Compaction(settings)
        self._hand_over = HandOver(self._clients, self._trio, GATEWAY, self._nonce)
        self._serializable: list[Read] = []
        self._ready: deque[Serve] = deque()
        self._next_expiry = 0.0

    def run(self, stop: StopSignal) -> None:
        """Work until asked to stop; then hand over, and answer what is in flight, within two seconds."""
        self._poller.register(stop.fileno(), zmq.POLLIN)
        stopping = kept = False
        while not (stopping and self._hand_over.is_stopped(clock())):
            busy = kept or stopping or self._clients.in_flight or self._reads.asked
            events = poll(self._poller, 0.0 if self._ready else TURN_SECONDS if busy else IDLE_SECONDS)
            now = clock()
            self._look_at_page(now)
            if stop.requested and not stopping:
                stopping = True
                self._poller.unregister(stop.fileno())
                self._hand_over.begin_stop(self._me, self._hints.role(), now)
            self._clients.take(events, now)
            for message in self._trio.arrived(events):
                self._on_trio(message, now)
            for sender, peer_message in self._peers.arrived(events, now):
                self._on_peer(sender, peer_message, now)
            self._clients.flush(self._header, now)  # results: whoever waits for one does not wait for what is next
            self._work(now)
            kept = self._clients.flush(self._header, now)
            self._depth.see(taken())
            self._depth_of_reads.see(self._reads.waiting)
            metrics.reporter.tick(now, self._measure)
            self._beat.tick(now)

    def close(self) -> None:
        """Close all sockets, and the state."""
        self._clients.close()
        self._peers.close()
        self._sockets.close()
        self._state.close()
        self._backups.close()

    # --- clients

    def _on_ask(self, ask: Ask) -> None:
        """A request that passed all checks: it is answered exactly once from here on."""
        request, now = ask.request, ask.caller.arrived
        known = from_page(request, self._page, self._settings, self._peers.endpoints)
        if known is not None:
            self._clients.tell(ask.caller, codec.encode(known), now)
        elif self._hand_over.refuses():
            self._clients.fail(ask.caller, Unavailable(f"{self._settings.id}: the node is stopping"), now)
        elif not (self._me and self._trio.incarnation) or isinstance(request, ListMembers):
            # Nothing is served beside a trio that does not run: its storage may have been stopped for a reason (S13).
            # Nor are members told before a trio that has just been started again has published them.
            notice = self._hints.notice() or "the node is starting"
            self._clients.fail(ask.caller, Unavailable(f"{self._settings.id}: {notice}"), now)
        elif not self._is_member:  # any more, or yet
            self._clients.fail(ask.caller, Unavailable(f"{self._settings.id} is no member of the cluster"), now)
        elif is_write(request):
            self._on_write(ask, now)
        elif isinstance(request, ReadBackup):
            self._on_backup(ask, request, now)
        elif isinstance(request, TransferLeadership):
            self._hand_over.ask(ask, request, now)
        else:
            read = Read(ask.caller, request, ask.deadline)
            if is_serializable(request):
                self._serializable.append(read)
            else:
                self._reads.submit(read)

    def _on_write(self, ask: Ask, now: float) -> None:
        growing = grows(ask.request)
        fault = self._lack_of_space(growing)
        if self._storage_life.is_silent:  # no result would ever come from it: others may do better
            fault = Unavailable(f"{self._settings.id}: storage does not answer: look at the disk")
        if fault:
            self._clients.fail(ask.caller, fault, now)
            return
        returns = isinstance(ask.request, Put | Delete) and ask.request.return_previous
        kind = EntryKind.CONFIGURATION if isinstance(ask.request, ChangeMember) else EntryKind.COMMANDS
        self._proposals.submit(Waiting(ask.caller, ask.body, growing, ask.deadline, returns, kind))

    def _on_backup(self, ask: Ask, request: ReadBackup, now: float) -> None:
        identity, role = self._hints.identity(), self._hints.role()
        # A node that is cut off might give the same old backup for weeks, and all would seem well.
        storage = self._hints.storage() if role is not None and role.leader else None
        try:
            chunk = self._backups.read(request, storage, identity.record if identity else None, now)
        except ZraftError as error:
            self._clients.fail(ask.caller, error, now)
        else:
            self._clients.tell(ask.caller, codec.encode(chunk), now)

    def _lack_of_space(self, growing: bool) -> ZraftError | None:
        role = self._hints.role()
        leads = role is not None and role.leader == self._me
        return lack_of_room(self._settings.id, self._hints.space(), leads=leads, growing=growing)

    # --- the trio and other gateways

    def _on_trio(self, message: Message, now: float) -> None:
        match message:
            case Results():
                self._tell(self._proposals.on_results(message.origin, codec.split_results(message.results)), now)
            case AppliedTerm():
                self._proposals.on_applied_term(message.term, now)
            case Applied():
                self._ready += self._reads.on_applied(message.index)
            case Registered():
                if message.fresh:
                    self._on_forgotten(now)
            case RoundAnswer():
                self._do(self._reads.on_round(message, self._hints.commit(), now), now)
            case TransferAnswer():
                self._hand_over.on_answer(message, now)
            case NotProposed():
                self._on_not_proposed(message, now)

    def _on_forgotten(self, now: float) -> None:
        """Storage does not know, or did not for a while, what this gateway waits for."""
        self._tell(self._proposals.on_results_lost(), now)
        self._reads.on_trio_restarted(now)

    def _on_peer(self, sender: int, message: GatewayMessage, now: float) -> None:
        match message:
            case Forward():
                self._on_forward(sender, message)
            case NotProposed():
                self._on_not_proposed(message, now)
            case ReadIndex():
                self._reads.submit(PeerRead(sender, message.request))
            case ReadIndexAnswer():
                self._do(self._reads.on_read_index(message, now), now)
            case Greeting():
                raise InvariantViolated("greetings are dealt with by the links")

    def _on_forward(self, sender: int, message: Forward) -> None:
        """Another node's proposal, for our replication to take or to refuse; a second copy is neither (S9)."""
        known = self._hints.term(told=message.term)
        made = self._forwarded.take(message, known, self._lack_of_space(message.grows))
        if isinstance(made, Propose) and not self._trio.propose(made):
            made = self._forwarded.unsent(made)
        if isinstance(made, NotProposed):
            self._peers.send(sender, made)

    def _on_not_proposed(self, message: NotProposed, now: float) -> None:
        if message.origin.member != self._me:
            self._peers.send(message.origin.member, message)
            return
        metrics.proposals_refused.inc()
        self._tell(self._proposals.on_not_proposed(message.origin, message.code, message.message, now), now)

    # --- what the cores want

    def _look_at_page(self, now: float) -> None:
        """Roles, terms and incarnations change without a message."""
        self._hints.refresh()
        identity = self._hints.identity()
        if identity is not None and identity.configuration != self._configuration:
            self._configuration = identity.configuration
            self._is_member = identity.configuration.member(identity.member) is not None
            self._peers.meet(identity)
        if identity is not None and not self._me:
            self._me = identity.member
            self._clients.cluster = identity.cluster
            self._proposals = Proposals(self._me, GATEWAY, self._nonce)
            self._reads = Reads(self._me, GATEWAY, self._nonce)
        if self._trio.follow(self._hints.incarnation(), now):
            self._on_forgotten(now)
            self._hand_over.expire(now, trio_restarted=True)
        self._storage_life.tick(now)
        self._peers.tick(now, self._hints.space())

    def _work(self, now: float) -> None:
        role = self._hints.role()
        if self._trio.registered:
            self._compaction.tick(self._hints, self._me, self._proposals, now)
            for send in self._proposals.flush(role, now):
                self._propose(send, now)
            self._do(self._reads.by_lease(self._hints), now)
            self._do(self._reads.flush(role, self._hints.commit(), now), now)
        if self._serializable:
            self._enqueue(Serve(0, tuple(self._serializable)))
            self._serializable = []
        end = clock() + SLICE_SECONDS
        while self._ready and clock() < end:
            self._serve(self._ready.popleft(), now)
        if now >= self._next_expiry:
            self._next_expiry = now + EXPIRE_SECONDS
            self._tell(self._proposals.expire(now), now)
            self._do(self._reads.expire(now), now)
            self._backups.tick(now)
            self._hand_over.tick(self._peers.successor(role, now), now)

    def _measure(self) -> None:
        self._clients.report()
        metrics.proposals_in_flight.set(self._proposals.in_flight)
        metrics.commands_waiting.set(self._proposals.waiting)

    def _propose(self, send: SendProposal, now: float) -> None:
        proposal = send.proposal
        metrics.proposals.inc()
        metrics.queue_seconds.observe(now - send.oldest)
        if send.leader == self._me:
            left = self._trio.propose(proposal)
        else:
            forward = Forward(proposal.term, proposal.origin, proposal.grows, proposal.payload, proposal.kind)
            left = self._peers.send(send.leader, forward)
        if not left:
            self._proposals.unsent(proposal.origin, now)

    def _do(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case Serve():
                    self._enqueue(effect)
                case AskElection():
                    if not self._trio.ask_round(effect.message):
                        self._reads.failed(effect.message.request, now)
                case AskLeader():
                    if not self._peers.send(effect.leader, effect.message):
                        self._reads.failed(effect.message.request, now)
                case AnswerPeer():
                    self._peers.send(effect.member, effect.message)
                case Tell():
                    self._tell([effect], now)

    def _tell(self, told: list[Tell], now: float) -> None:
        for tell in told:
            if tell.client.route:
                self._clients.tell(tell.client, tell.body, now)
            else:
                self._compaction.told(tell.body, now)

    def _enqueue(self, serve: Serve) -> None:
        """Each client's reads are served by themselves: one that asks much at once is not in front of the others."""
        by_client: dict[bytes, list[Read]] = {}
        for read in serve.reads:
            by_client.setdefault(read.client.route, []).append(read)
        self._ready.extend(Serve(serve.index, tuple(reads)) for reads in by_client.values())

    def _serve(self, serve: Serve, now: float) -> None:
        """Answer some of these reads from a view that has applied ``serve.index``; wait for it if there is none yet."""
        reads: list[Read] = []
        for read in serve.reads[:READS_PER_SLICE]:
            if self._clients.is_full(read.client.route):
                self._clients.fail(read.client, ResourceExhausted(UNREAD), now)
            else:
                reads.append(read)
        left = serve.reads[READS_PER_SLICE:]
        try:
            answers, unanswered = self._state.answer(serve.index, reads, self._hints.generation())
        except ZraftError as error:
            for read in reads:
                self._clients.fail(read.client, error, now)
        except CorruptState as error:
            # Whoever asked is told; then this process ends with the error, and the supervisor stops the node.
            for read in (*reads, *left):
                self._clients.fail(read.client, Unavailable(f"{self._settings.id}: {error}"), now)
            self._clients.flush(self._header, now)
            raise
        else:
            left = unanswered + left
            if reads and not answers:
                self._trio.wait_applied(self._reads.behind(Serve(serve.index, left)))
                return
            for read, body in answers:
                self._clients.tell(read.client, body, now)
        if left:
            self._ready.append(Serve(serve.index, left))  # behind those of others

    def _header(self) -> bytes:
        """The header of every answer: it carries the leader hint."""
        role = self._hints.role()
        identity = self._hints.identity()
        leader = identity.configuration.name_of(role.leader) if identity and role and role.leader else ""
        endpoint = self._peers.endpoints.get(leader, "")
        known = ResponseHeader(
            PROTOCOL_VERSION, self._clients.cluster, self._settings.id, leader, endpoint, role.term if role else 0
        )
        return codec.encode(known)
