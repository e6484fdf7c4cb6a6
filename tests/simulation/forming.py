"""Forming clusters in virtual time: nodes that start late, restart, lose their disks, or share a name."""

from collections.abc import Mapping, Sequence

from tests.simulation.invariants import require
from tests.simulation.memory import MemoryLog
from tests.simulation.world import World
from zraft.core.acceptor import Acceptor
from zraft.core.effects import Answer, Notice, ToStorage
from zraft.core.formation import Effect, Formation, Formed, Own, SayHello
from zraft.protocol import codec
from zraft.protocol.entries import ClusterRecord
from zraft.protocol.local import StorageStatus, StoreRecord
from zraft.protocol.peer import Hello

TICK_SECONDS = 0.02


class FormingNode:
    """One process on one directory, found under one name."""

    def __init__(self, forming: "Forming", own: Own, member: int) -> None:
        self.own = own
        self.log = MemoryLog(member)
        self.formed: ClusterRecord | None = None
        self.notice = ""
        self._forming = forming
        self._formation: Formation | None = None
        self._starts = 0

    def start(self) -> None:
        """Start, or start again: what storage had not made durable is gone."""
        self._starts += 1
        self.formed = None
        self.log.crash()
        self._formation = Formation(self.own, self._status(), self._forming.world.now)
        self._do(self._formation.begin())
        self._tick(self._starts)

    def stop(self) -> None:
        self._starts += 1
        self._formation = None

    def wipe(self, member: int) -> None:
        """Start on an empty directory."""
        self.log = MemoryLog(member)
        self.start()

    def receive(self, frame: bytes) -> None:
        hello = codec.control.decode(frame)
        if self._formation is None or not isinstance(hello, Hello):
            return
        self._forming.world.note(self.own.name, hello)
        effects, answer = self._formation.on_hello(hello)
        if answer is not None:
            self._forming.send(hello.name, answer)
        self._do(effects)

    def _tick(self, start: int) -> None:
        world = self._forming.world
        if self._formation is not None and start == self._starts:
            self._do(self._formation.tick(world.now))
            world.after(TICK_SECONDS, self._tick, start)

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SayHello(name, message):
                    self._forming.send(name, message)
                case ToStorage(message):
                    start = self._starts
                    self._forming.world.after(0.002, self._store, message, start)
                case Notice(text):
                    self.notice = text
                case Formed(record):
                    self.formed = record
                    self._forming.on_formed(self, record)

    def _store(self, message: StoreRecord, start: int) -> None:
        if start != self._starts or self._formation is None:
            return
        effect = Acceptor(self.log).step(message, self.log.member)
        self.log.commit()
        self._forming.stored.setdefault(self.log.member, message.record)
        if isinstance(effect, Answer) and isinstance(effect.message, StorageStatus):
            self._do(self._formation.on_stored(effect.message))

    def _status(self) -> StorageStatus:
        return Acceptor(self.log).status()


class Forming:
    """Some nodes, the names under which they find each other, and a bad network."""

    def __init__(self, world: World, lists: Mapping[str, tuple[str, ...]], loss: float) -> None:
        self.world = world
        self.loss = loss
        self.stored: dict[int, ClusterRecord] = {}
        """What each directory ever stored."""
        self._members = 0
        self.nodes = {
            name: FormingNode(self, Own(name, names, 150), self.new_member()) for name, names in lists.items()
        }
        self.twins: list[FormingNode] = []

    def new_member(self) -> int:
        self._members += 1
        return self._members

    def add_twin(self, name: str) -> FormingNode:
        """A second node of the same name: a message to it reaches now the one, now the other."""
        twin = FormingNode(self, self.nodes[name].own, self.new_member())
        self.twins.append(twin)
        return twin

    def send(self, name: str, message: Hello) -> None:
        world = self.world
        found = [node for node in (self.nodes.get(name), *self.twins) if node and node.own.name == name]
        if found and not world.chance(self.loss):
            node, frame = world.random.choice(found), codec.encode(message)
            world.after(world.seldom_long(0.001, 0.5), node.receive, frame)

    def on_formed(self, node: FormingNode, record: ClusterRecord) -> None:
        """Elections may begin: then all first members must have stored this record, and no other (trap 36)."""
        ids = {member.name: member.id for member in record.members}
        require(ids.get(node.own.name) == node.log.member, "a node is listed under its own name", node=node.own.name)
        for member in record.members:
            require(self.stored.get(member.id) == record, "all have stored the record", member=member.name)
