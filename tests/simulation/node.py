"""A simulated node: a directory that lasts, a page, a gateway, and a trio that comes and goes."""

from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.actors import Clock
from tests.simulation.gateway import GatewayActor
from tests.simulation.invariants import Violation, require
from tests.simulation.network import Kind, Parcel, Plane
from tests.simulation.newcomer import Newcomer, formation_of
from tests.simulation.page import Page
from tests.simulation.snapshots import Snapshots, unpack
from tests.simulation.trio import Trio
from tests.simulation.watched import WatchedLog, WatchedState
from zraft.core.lease import CLOCK_DRIFT_MAX, lease_seconds
from zraft.core.records import APPLIED, AppliedState, read_applied
from zraft.core.roles import Timing
from zraft.core.room import ENOUGH
from zraft.errors import OutOfSpace
from zraft.protocol import codec
from zraft.protocol.entries import EntryId
from zraft.protocol.peer import (
    PEER_VERSION,
    Append,
    AppendAnswer,
    Commit,
    Diverged,
    Forward,
    Heartbeat,
    Hello,
    InstallAnswer,
    InstallSnapshot,
    PeerHeader,
    PreVote,
    PreVoteAnswer,
    ReadIndexAnswer,
    TimeoutNow,
    Vote,
    VoteAnswer,
)

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

KINDS: dict[type, Kind] = {Forward: Kind.ONCE} | dict.fromkeys(
    (TimeoutNow, Vote, VoteAnswer, PreVoteAnswer, ReadIndexAnswer, AppendAnswer, InstallAnswer), Kind.RARE
)
CHANNELS: dict[Plane, codec.Channel[Any]] = {
    Plane.CONTROL: codec.control,
    Plane.DATA: codec.data,
    Plane.GATEWAYS: codec.gateways,
}

SYNC_SECONDS = 0.001
"""How long a sync of a good disk takes."""
TIMING = Timing(0.050, 0.150, 0.300, stall_limit=2.0, lease=lease_seconds(0.150))
BY_QUORUM = msgspec.structs.replace(TIMING, lease=0.0)


class Node:
    """Member ``id`` of the cluster."""

    def __init__(self, cluster: "Cluster", member: int) -> None:
        world = self.world = cluster.world
        self.cluster = cluster
        self.id = member
        self.clock = Clock(world)
        self.timing = cluster.timing
        self.window = (world.random.choice((1, 4, 64)), 32 << 20)
        self.sync_seconds = SYNC_SECONDS
        self.next_sync_seconds = 0.0
        """Of one sync that takes longer than others; 0: none does."""
        self.disk_fails = False
        self.space = ENOUGH
        self.room = 0
        """Records that apply may add still, unless there is enough space."""
        self.halted = False
        self.wrong = 0
        """What its digests are wrong by; 0: its state is right."""
        self.condemned = False
        self.supported = cluster.upgrades.first_version()
        """The newest cluster version that its code knows."""
        self.newcomer: Newcomer | None = None
        self.page = Page(world)
        self.log = WatchedLog(member, cluster.invariants)
        self.log.set_record(cluster.record, formed=True)
        self.log.commit()
        self.state = WatchedState(member, cluster.invariants, self._use_room, self._show)
        self._read = b"", read_applied(None)  # what was read of the state last, and what it said
        self._headers: dict[tuple[int, int], PeerHeader] = {}
        self.generation = 0
        self.next_state: WatchedState | None = None
        """Made from a snapshot, and not in use before the log names the next generation."""
        self.shown = 0
        """The newest index up to which clients were shown by this node what was done; while its state lasts."""
        self.restored = 0
        """How often its state was lost, and made anew."""
        self.snapshots = Snapshots()
        self.log_bytes = world.random.choice((1, 400, 4_000))
        self.snapshot_chance = world.random.choice((0.0, 0.002, 0.02, 0.1))
        self.trio: Trio | None = None
        self.incarnations = 0
        self.successor = 0
        """Whom it asked last to take over."""
        self.gateways = 1
        self.gateway = GatewayActor(self, self.gateways)

    # --- life and death

    def start(self) -> None:
        """Start the trio, if none runs and none must not; and the gateway, if it died."""
        if self.trio is None and not (self.halted or self.condemned) and self.newcomer is None:
            self.incarnations += 1
            self.clock.go_on()
            self.cluster.upgrades.restarted(self)
            self.page.zero()  # a new incarnation zeroes its groups first
            self.world.note(f"{self.id}", f"starts incarnation {self.incarnations}, applied {self.applied()}")
            self.trio = Trio(self, self.incarnations)
            self.cluster.happened("started", self)
        if not self.gateway.alive:
            self.gateways += 1
            self.gateway = GatewayActor(self, self.gateways)
        self.gateway.wake()  # it meets the new incarnation

    def crash(self, gateway_too: bool, lose_state: bool) -> None:
        """Kill the trio (S1: all three), perhaps the gateway; ``lose_state``: a power cut took the derived state."""
        if self.trio is None:
            return
        self.world.note(f"{self.id}", f"dies, gateway too: {gateway_too}, state lost: {lose_state}")
        self.trio.crash()
        self.trio = None
        self.log.crash()
        self.state.crash()
        if self.log.generation != self.generation:
            self.open_next_state()
        self.next_state = None
        self.snapshots.set_aside(self.log)
        if lose_state:
            self.snapshots.tear(self.world.random.randint(0, len(self.snapshots.bytes)))
            self._restore()
        if gateway_too:
            self.gateway.alive = False

    def actor_died(self, trio: Trio) -> None:
        """One of the trio has ended: a moment later the supervisor has ended the others, and starts all anew (S1)."""
        self.world.after(self.world.between(0.000_2, 0.02), self._bury, trio)

    def gateway_died(self, gateway: GatewayActor) -> None:
        """It is restarted alone."""
        self.world.after(self.world.between(0.001, 0.05), self.start)

    def halt(self) -> None:
        """A commit of the log failed: the trio stays down until an operator acts, and nobody knows what is stored."""
        self.world.note(f"{self.id}", "a sync fails")
        self.halted = True

    def condemn(self, verdict: Diverged) -> None:
        """The leader says that its state is not a majority's, and so it is: the trio stays down."""
        self.world.note(f"{self.id}", f"stops for {verdict}")
        self.condemned = True
        self.cluster.wrongs.condemned(self, verdict)

    def made_right(self) -> None:
        """The operator has repaired it: the state is made anew."""
        self.crash(gateway_too=False, lose_state=False)
        self._restore()
        self.wrong, self.condemned = 0, False
        self.start()

    def repair(self) -> None:
        """The operator has acted, and every disk works."""
        self.sync_seconds = SYNC_SECONDS
        self.next_sync_seconds = 0.0
        self.disk_fails = self.halted = False
        self.clock.go_on()
        if not 1 - CLOCK_DRIFT_MAX <= self.clock.rate <= 1 + CLOCK_DRIFT_MAX:
            self.set_clock(1.0, 0.0)
        self.space = ENOUGH
        for actor in (*(self.trio.actors() if self.trio else ()), self.gateway):
            actor.recover()
        self.start()

    def set_clock(self, rate: float, ahead: float) -> None:
        """Its clock runs at this rate from now on, and shows so much more than it did."""
        self.clock.change(rate, ahead)
        for actor in (*(self.trio.actors() if self.trio else ()), self.gateway):
            actor.clock_changed()

    def sync_takes(self) -> float:
        """Seconds of the sync that begins now."""
        seconds, self.next_sync_seconds = self.next_sync_seconds, 0.0
        return seconds or self.world.seldom_long(self.sync_seconds, 0.1, 0.01)

    def wipe(self) -> None:
        """All that the node knew is gone. It comes back under its name, as somebody whom nobody has a place for."""
        self.crash(gateway_too=True, lose_state=True)
        self.world.note(f"{self.id}", "its disk is wiped")
        self.newcomer = Newcomer(self)
        self.start()

    def prepare(self) -> None:
        """Make the next generation's state of the staged snapshot."""
        self.next_state = WatchedState(self.id, self.cluster.invariants, self._use_room, self._show)
        unpack(bytes(self.snapshots.bytes), self.next_state)

    def open_next_state(self) -> None:
        """The log names the next generation."""
        if self.next_state is None:
            raise Violation(f"the state that the log names is there: node={self.id} generation={self.log.generation}")
        self.state, self.next_state = self.next_state, None
        self.generation = self.log.generation

    def _show(self) -> None:
        """Storage has committed its state, in the midst of whatever it does: readers are other processes."""
        self.gateway.look()

    def _use_room(self, records: int) -> None:
        if self.space != ENOUGH:
            self.room -= records
            if self.room < 0:
                raise OutOfSpace("the disk is full")

    def _restore(self) -> None:
        """The derived state is gone: begin with the newest snapshot."""
        self.state.lose()
        self.shown = 0
        self.restored += 1
        snapshot = self.snapshots.newest()
        if snapshot is not None:
            unpack(self.snapshots.finished[snapshot], self.state)
        applied = self.applied().index
        require(applied >= self.log.base.index, "a snapshot covers what was cut", node=self.id, base=self.log.base)

    def _bury(self, trio: Trio) -> None:
        if self.trio is trio:
            self.crash(gateway_too=False, lose_state=False)
            self.world.after(self.world.seldom_long(0.002, 0.3), self.start)

    # --- what others see of it

    def applied(self) -> EntryId:
        return self.applied_state().applied

    def applied_state(self) -> AppliedState:
        data = self.state.meta(APPLIED) or b""
        if data is not self._read[0]:  # we are asked after every step, and mostly it is what it was
            self._read = data, read_applied(data or None)
        return self._read[1]

    # --- the network

    def send(self, plane: Plane, to: int, message: object, answers: int | None = None) -> None:
        """A request of this incarnation, or the answer to incarnation ``answers`` of another node."""
        incarnation = self.incarnations if answers is None else answers
        self._send(plane, to, message, incarnation)

    def send_of_gateway(self, to: int, message: object, incarnation: int) -> None:
        self._send(Plane.GATEWAYS, to, message, incarnation)

    def arrive(self, plane: Plane, parcel: Parcel) -> None:
        header, message = parcel
        if plane is Plane.GATEWAYS:
            self.gateway.receive_peer(message, header.sender, header.incarnation)
            return
        if isinstance(message, Hello):
            self._arrive_hello(header, message)
            return
        trio = self.trio
        if trio is None:
            return
        if isinstance(message, PreVote | Vote | Heartbeat | TimeoutNow):
            trio.election.receive(message, header.sender, header.incarnation)
        elif isinstance(message, Append | Commit | InstallSnapshot | Diverged):
            trio.storage.receive(message, header.sender, header.incarnation)
        elif header.incarnation != self.incarnations:
            return  # S1: an answer to another incarnation is dropped
        elif plane is Plane.CONTROL:
            trio.election.receive(message, header.sender)
        else:
            trio.replication.receive(message, header.sender)

    def _arrive_hello(self, header: PeerHeader, message: Hello) -> None:
        if self.newcomer is not None:
            self.newcomer.receive(message)
        elif self.trio is not None:
            _, answer = formation_of(self, self.log).on_hello(message)
            if answer is not None:
                self.send(Plane.CONTROL, header.sender, answer)

    def _send(self, plane: Plane, to: int, message: object, incarnation: int) -> None:
        header = self._headers.get((to, incarnation))
        if header is None:
            header = PeerHeader(PEER_VERSION, self.cluster.id, self.id, to, incarnation)
            self._headers[to, incarnation] = header
        kind = KINDS.get(type(message), Kind.USUAL)
        if self.world.encoded:
            header = codec.peer_header.decode(codec.encode(header))
            message = CHANNELS[plane].decode(codec.encode(message))
        self.cluster.network.send(plane, self.id, to, (header, message), kind)
