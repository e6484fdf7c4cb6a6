"""The election actor: timers and the control plane around ``core.election`` and ``core.formation``."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

import zmq

from zraft.actors import metrics
from zraft.actors.beat import Beat
from zraft.actors.clock import clock
from zraft.actors.identity import Identity, Routes, check_hello, seal, unsealed
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger
from zraft.actors.peers import MESSAGES_PER_DRAIN, PeerLinks, differing_addresses, peers_of
from zraft.actors.sockets import LOCAL_MESSAGES_MAX, PEER_MESSAGES_MAX, Frames, Sockets, drain, poll, send, taken
from zraft.config import LEASE
from zraft.connection import tcp
from zraft.core import formation
from zraft.core.effects import Ignored, Notice, Send, ToGateway, ToReplication, ToStorage
from zraft.core.election import Election
from zraft.core.formation import Formation, Formed, Outside, Own, SayHello
from zraft.core.lease import PublishLease, lease_seconds
from zraft.core.roles import LEADER, Effect, LocalMessage, PeerMessage, PublishRole, Timing
from zraft.core.terms import require_leader, require_near
from zraft.core.trouble import Contacts, Lasts
from zraft.core.vitality import GATEWAY, REPLICATION, SIGN_OF_LIFE, STORAGE
from zraft.errors import InvariantViolated, NotYetMember, ProtocolError
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord, Configuration
from zraft.protocol.local import (
    Campaign,
    Ping,
    Pong,
    RoundRequest,
    StatusQuery,
    StorageStatus,
    StoreRecord,
    TransferRequest,
    VoteQuery,
)
from zraft.protocol.peer import (
    CONTROL_BYTES_MAX,
    PEER_VERSION,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    PeerHeader,
    PreVote,
    PreVoteAnswer,
    TimeoutNow,
    Vote,
    VoteAnswer,
)
from zraft.store.page import Group

ANSWERS = (HeartbeatAnswer, PreVoteAnswer, VoteAnswer)


def run(launch: Launch, stop: StopSignal, logger: Logger) -> None:
    """The body of the election process."""
    with contextlib.closing(ElectionActor(launch, logger)) as actor:
        actor.run(stop)


class ElectionActor:
    """Polls, decodes, steps the cores, carries out their effects."""

    def __init__(self, launch: Launch, logger: Logger) -> None:
        settings = launch.settings
        self._settings = settings
        self._logger = logger
        self._started = clock()
        self._incarnation = launch.incarnation
        self._local = codec.incarnation_frame(launch.incarnation)
        self._page = launch.open_page()
        self._beat = Beat(self._page, "election")
        self._depth = metrics.queue_depth("election", "messages")
        self._page.clear(Group.LEASE)
        self._page.clear(Group.ROLE)
        self._page.clear(Group.NOTICE)
        self._sockets = Sockets()
        self._poller = zmq.Poller()
        self._control = self._sockets.bind_router(
            tcp(settings.host, settings.peer_port), PEER_MESSAGES_MAX, CONTROL_BYTES_MAX, "peer_port (control)"
        )
        self._storage = self._sockets.connect_local(launch.endpoint("storage.election"))
        self._replication = self._sockets.connect_local(launch.endpoint("replication.election"))
        self._gateways = self._sockets.bind_router(launch.endpoint("election.gateways"), LOCAL_MESSAGES_MAX)
        for socket in (self._control, self._storage, self._replication, self._gateways):
            self._poller.register(socket, zmq.POLLIN)
        self._links = PeerLinks(self._sockets, self._poller, settings.peer_addresses(), 0)
        self._configuration: Configuration | None = None  # whose members the links lead to
        self._routes = Routes()
        self._gateway_routes: dict[int, bytes] = {}
        self._formation: Formation | None = None
        self._election: Election | None = None
        self._beats: dict[int, tuple[Heartbeat, float]] = {}  # member -> its last heartbeat, and when that left
        self._contacts = Contacts()
        self._last_leader = 0
        self._gateway_beat = 0
        self._identity: Identity | None = None
        self._status: StorageStatus | None = None

    def run(self, stop: StopSignal) -> None:
        """Work until asked to stop."""
        self._poller.register(stop.fileno(), zmq.POLLIN)
        self._to_storage(StatusQuery())
        while not stop.requested:
            wake = self._links.refresh(clock())
            for core in (self._formation, self._election):
                deadline = core.next_deadline() if core else None
                wake = min(wake, deadline) if deadline is not None else wake
            events = poll(self._poller, wake - clock())
            self._take(events)
            self._tick()

    def close(self) -> None:
        """Close all sockets."""
        self._links.close()
        self._sockets.close()

    def _take(self, events: dict[object, int]) -> None:
        if self._storage in events:
            for frame in self._of_incarnation(self._storage):
                self._on_storage(codec.storage_to_election.decode(frame))
        if self._control in events:
            for route, *frames in drain(self._control, MESSAGES_PER_DRAIN):
                self._guard(self._on_request, route, frames)
        for _, answer in self._links.arrived(events):
            self._guard(self._on_answer, b"", answer)
        if self._replication in events:
            for frame in self._of_incarnation(self._replication):
                message = codec.replication_to_election.decode(frame)
                if self._election is None:
                    continue
                if isinstance(message, Pong):
                    self._election.pong(REPLICATION, message, clock())
                else:
                    self._do(self._election.step(message, clock()))
        if self._gateways in events:
            for route, incarnation, frame in drain(self._gateways, MESSAGES_PER_DRAIN):
                if incarnation == self._local:
                    self._on_gateway(route, codec.gateway_to_election.decode(frame))

    def _tick(self) -> None:
        now = clock()
        if self._formation is not None:
            self._form(self._formation.tick(now))
        beat = self._page.sequence(Group.GATEWAY_BEAT)
        if self._election is not None and beat != self._gateway_beat:
            self._gateway_beat = beat
            self._election.pong(GATEWAY, SIGN_OF_LIFE, now)
        if self._election is not None and now >= self._election.next_deadline():
            self._do(self._election.tick(now))
            if self._election.role == LEADER:
                metrics.last_heartbeat.set(time.time())
            self._tell_of_silence(now)
        if self._election is not None and self._election.configuration is not self._configuration:
            self._meet_members(self._election.configuration)
        self._depth.see(taken())
        metrics.reporter.tick(now)
        self._beat.tick(now)

    def _tell_of_silence(self, now: float) -> None:
        identity, election, status = self._identity, self._election, self._status
        if identity is None or election is None or status is None:
            return
        members = election.configuration.members if election.role == LEADER else ()
        for member, what in self._contacts.look((one.id for one in members if one.id != status.member), now):
            name = identity.name_of(member)
            if isinstance(what, Lasts):
                self._logger.warning("a member does not answer", member=name, seconds=int(what.seconds))
            else:
                self._logger.info("a member answers again", member=name, seconds=int(what.seconds))

    def _of_incarnation(self, socket: zmq.Socket[bytes]) -> list[bytes]:
        """Messages of our own incarnation; another one's are dropped (S1)."""
        return [frame for incarnation, frame in drain(socket, MESSAGES_PER_DRAIN) if incarnation == self._local]

    def _guard(self, handle: Callable[[bytes, Frames], None], route: bytes, frames: Frames) -> None:
        """A message that can't be understood or is not for us is dropped, with a line in the log now and then."""
        try:
            handle(route, frames)
        except (ProtocolError, ValueError) as error:
            self._logger.every(10, "control message dropped", reason=str(error))

    # --- what comes in

    def _on_storage(self, message: LocalMessage | Pong) -> None:
        now = clock()
        if isinstance(message, StorageStatus) and self._formation is None:
            self._begin(message, now)
        elif isinstance(message, StorageStatus) and self._formation is not None and not self._formation.formed:
            self._status = message
            self._form(self._formation.on_stored(message))
        elif self._election is not None:
            if isinstance(message, Pong):
                self._election.pong(STORAGE, message, now)
            else:
                self._do(self._election.step(message, now))

    def _on_request(self, route: bytes, frames: Frames) -> None:
        head, frame = frames
        message = codec.control.decode(frame)
        if isinstance(message, Hello):
            self._on_hello(message, check_hello(head, frame), route)
            return
        if self._identity is None or self._election is None:
            return  # not formed: neither granted nor acknowledged
        header = self._identity.check(head, frame)
        require_near(message, self._election.term)
        if self._election.role == LEADER:
            require_leader(message, header.sender, (self._election.term, self._election.me))
        self._routes.note(header, route)
        if isinstance(message, Heartbeat):
            metrics.last_heartbeat.set(time.time())
        if isinstance(message, Heartbeat | PreVote | Vote | TimeoutNow):
            self._do(self._election.step(message, clock(), header.sender))

    def _on_answer(self, _: bytes, frames: Frames) -> None:
        head, frame = frames
        message = codec.control.decode(frame)
        if isinstance(message, Hello):
            self._on_hello(message, check_hello(head, frame), None)
        elif self._identity is not None and self._election is not None and isinstance(message, ANSWERS):
            header = self._identity.check_answer(head, frame)
            require_near(message, self._election.term)
            now = clock()
            if isinstance(message, HeartbeatAnswer):
                self._contacts.answered(header.sender)
                self._measure(header.sender, message, now)
            self._do(self._election.step(message, now, header.sender))

    def _measure(self, member: int, answer: HeartbeatAnswer, now: float) -> None:
        """How long the way to a member and back took, if it answers the last heartbeat that it was sent."""
        beat, sent = self._beats.get(member, (None, 0.0))
        if self._identity is not None and beat is not None and (beat.term, beat.round) == (answer.term, answer.round):
            metrics.round_trip_seconds(self._identity.name_of(member)).observe(now - sent)

    def _on_hello(self, message: Hello, header: PeerHeader, route: bytes | None) -> None:
        if self._formation is None:
            return
        effects, answer = self._formation.on_hello(message)
        if answer is not None and route is not None:
            send(self._control, [route, *self._hello(answer, header.incarnation)])
        self._form(effects)

    def _on_gateway(self, route: bytes, message: RoundRequest | TransferRequest) -> None:
        self._gateway_routes[message.gateway] = route
        if self._election is not None:
            self._do(self._election.step(message, clock()))

    # --- what the cores want

    def _begin(self, status: StorageStatus, now: float) -> None:
        settings = self._settings
        promise, may_join = settings.election_timeout_min_ms, bool(settings.join)
        own = Own(settings.id, settings.names(), promise, status.initial_state, may_join)
        if status.record is None and settings.join and settings.id not in settings.peers:
            raise NotYetMember("this node is told to join a cluster, and knows none")  # it would form one by itself
        self._status = status
        self._formation = Formation(own, status, now)
        self._form(self._formation.begin())

    def _form(self, effects: list[formation.Effect]) -> None:
        for effect in effects:
            match effect:
                case SayHello():
                    self._links.send(effect.name, self._hello(effect.message, self._incarnation))
                case ToStorage():
                    self._to_storage(effect.message)
                case Notice():
                    self._notice(effect.text)
                case Formed():
                    self._start_election(effect.record)
                case Outside():
                    raise NotYetMember(f"{effect.name} is in a cluster that has formed without this node")
                case Ignored():
                    self._logger.every(10, "hello refused", reason=effect.reason)

    def _start_election(self, record: ClusterRecord) -> None:
        settings, status = self._settings, self._status
        if status is None:
            raise InvariantViolated("storage was asked first")
        timing = Timing(
            settings.heartbeat_ms / 1000,
            settings.election_timeout_min_ms / 1000,
            settings.election_timeout_max_ms / 1000,
            settings.stall_limit_ms / 1000,
            lease_seconds(settings.election_timeout_min_ms / 1000) if settings.read_mode == LEASE else 0.0,
        )
        self._identity = Identity(status.member, record.cluster_id(), status.configuration, self._incarnation)
        self._election = Election(status.member, status, timing, self._started, clock(), random.random)
        self._logger.info("formed", cluster=record.cluster_id().hex(), member=f"{status.member:016x}")
        if differing := differing_addresses(settings, status.configuration):
            hint = (
                "start with --addresses-of peers if all have moved; if this one or few: zraft member add NAME HOST:PORT"
            )
            self._logger.warning("--peers differs from the addresses that count", stored=differing, hint=hint)

    def _meet_members(self, configuration: Configuration) -> None:
        """Follow a change of members: links, names, and who may say hello."""
        self._configuration = configuration
        if self._identity is not None and self._formation is not None:
            self._identity.meet(configuration)
            self._formation.meet(configuration)
            self._links.follow(peers_of(self._settings, configuration))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect.to, effect.message)
                case ToStorage():
                    self._to_storage(effect.message)
                case ToReplication():
                    send(self._replication, [self._local, codec.encode(effect.message)])
                case ToGateway():
                    route = self._gateway_routes.get(effect.gateway, b"")
                    send(self._gateways, [route, self._local, codec.encode(effect.message)])
                case PublishLease():
                    self._publish_lease(effect)
                case PublishRole():
                    self._publish(effect)
                case Notice():
                    self._notice(effect.text)
                case Ignored():
                    pass

    def _send(self, member: int, message: PeerMessage) -> None:
        """A request over our own link; an answer the way that the request came. What can't leave is lost."""
        identity = self._identity
        if identity is None:
            return
        if isinstance(message, ANSWERS):
            route, incarnation = self._routes.to(member)
            send(self._control, [route, *seal(identity.header_to(member, incarnation), codec.encode(message))])
            return
        if isinstance(message, Vote):
            metrics.request_vote.inc()
        elif isinstance(message, Heartbeat):
            self._beats[member] = (message, clock())
        self._links.send(identity.name_of(member), seal(identity.header_to(member), codec.encode(message)))

    def _to_storage(self, message: StatusQuery | StoreRecord | Campaign | VoteQuery | Ping) -> None:
        send(self._storage, [self._local, codec.encode(message)])

    def _hello(self, message: Hello, incarnation: int) -> Frames:
        member = self._status.member if self._status else 0
        return seal(unsealed(PeerHeader(PEER_VERSION, b"", member, 0, incarnation)), codec.encode(message))

    def _publish_lease(self, effect: PublishLease) -> None:
        if effect.lease is None:
            self._page.clear(Group.LEASE)
        else:
            self._page.publish(Group.LEASE, codec.encode(effect.lease))

    def _publish(self, effect: PublishRole) -> None:
        role = effect.role
        self._page.publish(Group.ROLE, codec.encode(role))
        self._logger.term = role.term
        names = self._identity
        leader = names.name_of(role.leader) if names and role.leader else ""
        self._logger.info(role.role, leader=leader, why=effect.why)
        metrics.current_term.set(role.term)
        metrics.node_state.set(metrics.NODE_STATES[role.role])
        metrics.has_leader.set(int(role.leader != 0))
        if role.leader not in (0, self._last_leader):
            self._last_leader = role.leader
            metrics.leader_changes.inc()
        if role.role == LEADER:
            metrics.leader_elections.inc()

    def _notice(self, text: str) -> None:
        self._page.publish_words(Group.NOTICE, text)
        if text:
            self._logger.every(5, f"not ready: {text}")  # an event of its own: one reason hides no other
