"""A stage on which scripts let the pure core act: every message waits until the script moves it, time too.

A script is a list of scenes, and each is a command, perhaps with lines of its own, ``----``, and what happens then::

    time-out 2
    ----
    2 is candidate t1, leader unknown: no leader was heard
    2->storage StatusQuery

Nothing moves by itself: messages between nodes wait for ``deliver``, those to a storage for ``take``, and what a
storage has taken is answered when ``sync`` has made it durable. So a script can have any number of writes under way.
"""

from collections import deque

from tests.conformance.player import Player
from tests.simulation.describe import describe
from zraft.core.roles import LEADER
from zraft.protocol.codec import encode
from zraft.protocol.entries import ClusterRecord, Configuration, EntryKind, Member, Origin
from zraft.protocol.local import Propose, TransferRequest
from zraft.protocol.peer import SnapshotId
from zraft.protocol.requests import ChangeMember

START = 100.0


class Stage:
    """All players, what is under way between them, and the time."""

    def __init__(self) -> None:
        self.now = START
        self.players: dict[int, Player] = {}
        self.configurations: dict[SnapshotId, Configuration | None] = {}
        """By snapshot, the one in force at its end, as its state has it; None: the record's."""
        self.term = 0
        self.lease = 0.0
        self.window = 64
        self._network: deque[tuple[int, int, object]] = deque()
        self._held: list[tuple[int, int, object]] = []
        self._said: list[str] = []
        self._proposals = 0

    def play(self, command: str, lines: list[str]) -> list[str]:
        """Carry out one command; returns what was said meanwhile."""
        verb, *words = command.split()
        self._said = []
        if verb == "quietly":
            self.play(" ".join(words), lines)
            return []
        if verb == "cluster":
            self._cluster(words, lines)
        else:
            getattr(self, f"do_{verb.replace('-', '_')}")(*words)
        return self._said

    def say(self, line: str) -> None:
        self._said.append(line)

    def send(self, sender: int, to: int, message: object) -> None:
        self.say(f"{sender}->{to} {describe(message)}")
        self._network.append((sender, to, message))

    def _cluster(self, words: list[str], lines: list[str]) -> None:
        """``cluster 3 [lease] [window=N] [unaware=3] [new=3]``; lines ``1: 1 1 2`` are the terms of a node's first log.

        All are in the highest of these terms: whoever led it was elected by a majority.
        ``unaware``: this node's own record still has it as a learner. ``new``: this one is there, and no member yet.
        """
        size, *options = words
        given = dict(option.partition("=")[::2] for option in options)
        self.lease, self.window = 0.100 * ("lease" in given), int(given.get("window", 64))
        logs = {
            int(node): [int(term) for term in terms.split()] for node, _, terms in (x.partition(":") for x in lines)
        }
        self.term = max((term for terms in logs.values() for term in terms), default=0)
        for node in range(1, int(size) + 1):
            learner = int(given.get("unaware", 0)) == node
            first = [one for one in range(1, int(size) + 1) if one != int(given.get("new", 0))]
            members = (Member(one, f"node-{one}", not (learner and one == node)) for one in first)
            self.players[node] = Player(self, node, ClusterRecord(tuple(members), 150), logs.get(node, []))

    # --- commands

    def do_wait(self, milliseconds: str) -> None:
        """Time passes; nobody does anything."""
        self.now += int(milliseconds) / 1000

    def do_time_out(self, node: str) -> None:
        """A node hears no leader for as long as it has patience: nobody else's timers run meanwhile."""
        player = self.players[int(node)]
        self.now = max(self.now, player.election.next_deadline() + 0.001)
        player.elect(player.election.tick(self.now))

    def do_beat(self, node: str) -> None:
        """A leader's next heartbeat round is due."""
        self.do_time_out(node)

    def do_transfer(self, node: str, to: str = "") -> None:
        """A client asks a node to hand over, to the member of that name or to anybody."""
        player = self.players[int(node)]
        player.elect(player.election.step(TransferRequest(0, 1, to), self.now))

    def do_check(self, node: str) -> None:
        """A leader's replication looks for storages that have been silent for too long."""
        player = self.players[int(node)]
        self.now = max(self.now, player.replication.next_deadline() or 0.0)
        player.replicate(player.replication.tick(self.now))

    def do_propose(self, node: str, *names: str) -> None:
        """A gateway hands over proposals, one after the other."""
        player = self.players[int(node)]
        for name in names:
            self._proposals += 1
            message = Propose(player.replication.term, Origin(9, 0, 1, self._proposals), True, name.encode())
            player.replicate(player.replication.step(message, self.now, player.id))

    def do_change(self, node: str, action: str, name: str, *options: str) -> None:
        """An operator has a node ``add``, ``promote`` or ``remove`` another one, perhaps with ``force``."""
        player, known = self.players[int(node)], int(name) if action == "add" else 0
        self._proposals += 1
        change = encode(ChangeMember(action, f"node-{name}", known, force="force" in options))  # type: ignore[arg-type]
        origin = Origin(9, 0, 1, self._proposals)
        message = Propose(player.replication.term, origin, False, change, EntryKind.CONFIGURATION)
        player.replicate(player.replication.step(message, self.now, player.id))

    def do_deliver(self, *nodes: str) -> None:
        """These nodes (all, if none is named) receive what is on its way to them: ``3``, or from one only ``1->3``."""
        for sender, to, message in self._under_way(nodes):
            self.players[to].receive(message, sender)

    def do_lose(self, *nodes: str) -> None:
        """What is on its way to these nodes is lost."""
        for sender, to, message in self._under_way(nodes):
            self.say(f"lost: {sender}->{to} {describe(message)}")

    def do_hold(self, *nodes: str) -> None:
        """What is on its way to these nodes is held up, and overtaken by what is sent later."""
        self._held += self._under_way(nodes)

    def do_release(self) -> None:
        """What was held up goes on, as the last of all that is under way."""
        for sender, to, message in self._held:
            self.say(f"late: {sender}->{to} {describe(message)}")
        self._network += self._held
        self._held.clear()

    def do_take(self, *nodes: str) -> None:
        """Storages take in what waits for them, and do not answer yet."""
        for node in nodes:
            self.players[int(node)].take()

    def do_sync(self, *nodes: str) -> None:
        """What storages took in becomes durable, and is answered."""
        for node in nodes:
            self.players[int(node)].sync()

    def do_store(self, *nodes: str) -> None:
        """Storages take in what waits, and make it durable."""
        self.do_take(*nodes)
        self.do_sync(*nodes)

    def do_settle(self, *nodes: str) -> None:
        """Everything that is under way among these nodes (all, if none is named) goes on until nothing is."""
        chosen = [int(node) for node in nodes] or list(self.players)
        while any(self.players[node].waiting or self.players[node].staged for node in chosen) or any(
            to in chosen for _, to, _ in self._network
        ):
            for node in chosen:
                self.do_deliver(str(node))
            for node in chosen:
                self.do_store(str(node))

    def do_elect(self, node: str, *by: str) -> None:
        """A node is elected, and everything settles. ``elect 1 by 2 3``: these two alone hear of its ballots, and
        nothing that it says as a leader has been delivered yet.
        """
        player, voters = self.players[int(node)], by[1:]
        self.do_time_out(node)
        if not voters:
            self.do_settle()
        while player.election.role != LEADER:
            self.do_store(node)
            self.do_lose(*(f"{node}->{other}" for other in self.players if str(other) not in voters))
            if not self._under_way_between(node, voters):
                self.do_time_out(node)  # it stepped down, or learnt of a higher term: once more
            self.do_deliver(*(f"{node}->{voter}" for voter in voters))
            self.do_store(*voters)
            self.do_deliver(*(f"{voter}->{node}" for voter in voters))

    def _under_way_between(self, node: str, voters: tuple[str, ...]) -> bool:
        waits = bool(self.players[int(node)].waiting)
        return waits or any(sender == int(node) and str(to) in voters for sender, to, _ in self._network)

    def do_snapshot(self, node: str, size: str) -> None:
        """A node has a snapshot of what it has applied, of so many bytes."""
        player = self.players[int(node)]
        index = player.acceptor.applied
        offer = SnapshotId(index, player.log.term_at(index) or 0, int(size), bytes(32))
        known = [one for one in player.log.configurations if one.index <= index]
        self.configurations[offer] = known[-1] if known else None
        player.acceptor.offer = offer

    def do_cut(self, node: str, to: str) -> None:
        """A node forgets its entries up to ``to``, which a snapshot of its own covers."""
        player = self.players[int(node)]
        player.log.cut(int(to))
        player.log.commit()

    def do_crash(self, node: str) -> None:
        """A node loses what was not durable, and starts again."""
        self.players[int(node)].crash()

    def do_forget(self, node: str, to: str) -> None:
        """A node's disk breaks its word: of what was durable, all behind ``to`` is gone when the node starts again."""
        player = self.players[int(node)]
        player.log.truncate(int(to) + 1)
        player.log.commit()
        player.crash()

    def do_logs(self, *nodes: str) -> None:
        """What is in the logs: the terms of all entries."""
        for player in [self.players[int(node)] for node in nodes] or self.players.values():
            log, acceptor = player.log, player.acceptor
            terms = " ".join(str(log.term_at(index)) for index in range(log.first_index, log.last.index + 1))
            base = f" behind {log.base}" if log.base.index else ""
            self.say(f"{player.id}: t{log.term} vote {log.vote} commit {acceptor.commit}{base} | {terms}".rstrip())

    def do_progress(self, node: str) -> None:
        """What a leader knows of each storage."""
        leadership = self.players[int(node)].replication._lead
        for member, one in leadership.progress.items() if leadership else ():
            mode, paused = one.mode.name.lower(), "" if one.may_send() else ", waits"
            self.say(f"{member}: {mode} match {one.match} next {one.next} in flight {len(one._inflights)}{paused}")

    def _under_way(self, nodes: tuple[str, ...]) -> list[tuple[int, int, object]]:
        wanted = set(nodes)

        def is_wanted(sender: int, to: int) -> bool:
            return not wanted or str(to) in wanted or f"{sender}->{to}" in wanted

        chosen = [one for one in self._network if is_wanted(one[0], one[1])]
        self._network = deque(one for one in self._network if not is_wanted(one[0], one[1]))
        return chosen
