"""A node that is no zraft: all it knows is ``proto_schemas/peers.md``, MessagePack and ZeroMQ.

It keeps all in memory, so it is of no use but to show that the page is enough: it forms a cluster with real nodes,
follows one of them, votes, leads them, comes to the same state as they do, and takes their snapshots.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import google_crc32c
import msgspec

from tests.wire.second_links import CONTROL, DATA, GATEWAYS, SecondLinks, opened, sealed
from tests.wire.second_log import SecondLog, entry, is_sound, manifest_of, term_of

VERSION = 1
HELLO, PRE_VOTE, PRE_VOTE_ANSWER, VOTE, VOTE_ANSWER, HEARTBEAT, HEARTBEAT_ANSWER, TIMEOUT_NOW = range(1, 9)
APPEND, APPEND_ANSWER, COMMIT, INSTALL_SNAPSHOT, INSTALL_ANSWER, DIVERGED = range(1, 7)
GREETING, FORWARD, NOT_PROPOSED, READ_INDEX, READ_INDEX_ANSWER = range(1, 6)
EMPTY, COMMANDS, CONFIGURATION, CLUSTER_VERSION = range(4)
CLUSTER_VERSIONS = 2
HELLO_S, HEARTBEAT_S, GREET_S = 0.1, 0.05, 1.0
TURN_MS = 20
Message = list[Any]

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode
now = time.monotonic


class SecondNode:
    """One node. ``ports`` are the control ports of all first members, by name; nothing happens but in ``turn``."""

    def __init__(self, name: str, ports: dict[str, int], timeout_min_ms: int) -> None:
        self.name, self.names, self.timeout_min_ms = name, sorted(ports), timeout_min_ms
        self.me = int.from_bytes(os.urandom(8), "big") | 1
        self.incarnation = int.from_bytes(os.urandom(8), "big")
        self.heard: dict[str, Message] = {}
        self.members: list[Message] = []
        self.cluster = b""
        self.formed = False
        self.started = now()
        # Durable, if this were more than a test.
        self.term = self.vote = 0
        self.log = SecondLog()
        # And what is not.
        self.verified = self.commit = self.leader = self.ballot = self.round = 0
        self.heard_at = -1e9
        self.votes, self.pre_votes = set[int](), set[int]()
        self.pre_votes_told: dict[int, bool] = {}
        self.campaigning = self.pre_voting = self.leads = False
        self.match, self.next, self.rounds = dict[int, int](), dict[int, int](), dict[int, int]()
        self.asked: list[tuple[int, int, int]] = []
        self.seen: dict[int, int] = {}
        self.received: list[tuple[int, str, Message]] = []
        self.endpoints: dict[int, str] = {}
        self.hears_entries = True
        self.staged: tuple[Message, bytes] = ([], b"")
        self.installed: list[Message] = []
        self._next = dict.fromkeys(("hello", "beat", "greet"), 0.0)
        self._links = SecondLinks(ports[name], {other: port for other, port in ports.items() if other != name})

    def close(self) -> None:
        """The end of it."""
        self._links.close()

    def turn(self, ms: int = TURN_MS) -> None:
        """Take what has come within that time, and do what is due."""
        for plane, route, frames in self._links.arrived(ms):
            self._take(plane, frames, route)
        self._tick()

    # --- framing

    def _take(self, plane: int, frames: list[bytes], route: bytes | None) -> None:
        version, cluster, sender, target, incarnation, message = opened(frames)
        assert version == VERSION
        assert route is not None or incarnation == self.incarnation or plane == GATEWAYS  # an answer
        if (plane, message[0]) == (CONTROL, HELLO):
            assert (cluster, target) == (b"", 0)
            self._on_hello(message, route, incarnation)
            return
        if not self.formed:
            return
        assert (cluster, target) == (self.cluster, self.me)
        self.received.append((plane, self.name_of(sender), message))
        answers = self._on(plane, message, sender)
        for answer in answers:
            if plane == GATEWAYS:
                self.send(sender, plane, answer)
            else:
                assert route is not None
                header = [VERSION, self.cluster, self.me, sender, incarnation]
                self._links.answer(plane, route, sealed(header, answer))

    def send(self, member: int, plane: int, message: Message) -> None:
        """A request to a member."""
        header = [VERSION, self.cluster, self.me, member, self.incarnation]
        self._links.send(self.name_of(member), plane, sealed(header, message))

    def name_of(self, member: int) -> str:
        """A member's name."""
        return next((one[1] for one in self.members if one[0] == member), "")

    def others(self) -> list[int]:
        """The ids of the other members."""
        return [one[0] for one in self.members if one[0] != self.me]

    # --- forming

    def _hello(self, answer: bool) -> Message:
        known = [self.cluster, self.members, self.formed]
        return [HELLO, self.name, self.me, self.names, self.timeout_min_ms, b"", *known, answer, ""]

    def _on_hello(self, message: Message, route: bytes | None, incarnation: int) -> None:
        _, name, _, names, timeout_min_ms, initial_state, _, _, _, answer, refusal = message
        assert (names, timeout_min_ms, initial_state, refusal) == (self.names, self.timeout_min_ms, b"", "")
        self.heard[name] = message
        if not self.members and len(self.heard) == len(self.names) - 1:
            ids = {one[1]: one[2] for one in self.heard.values()} | {self.name: self.me}
            self.members = [[ids[name], name, True, ""] for name in self.names]
            named = [[name, ids[name]] for name in self.names]
            self.cluster = hashlib.sha256(pack([1, named, self.timeout_min_ms, b""])).digest()[:16]
        agree = [one for one in self.heard.values() if self.cluster and one[6] == self.cluster]
        self.formed = self.formed or len(agree) == len(self.names) - 1 or any(one[8] for one in agree)
        if not answer and route is not None:
            header = [VERSION, b"", self.me, 0, incarnation]
            self._links.answer(CONTROL, route, sealed(header, self._hello(answer=True)))

    def _tick(self) -> None:
        if not self.formed:
            if self._due("hello", HELLO_S):
                header = [VERSION, b"", self.me, 0, self.incarnation]
                for name in self.names:
                    if name != self.name:
                        self._links.send(name, CONTROL, sealed(header, self._hello(answer=False)))
            return
        if self._due("greet", GREET_S):
            for member in self.others():
                self.send(member, GATEWAYS, [GREETING, self.name, "127.0.0.1:1", 0])
        if self.leads and self._due("beat", HEARTBEAT_S):
            self._beat()
            for member in self.others():
                self._feed(member)

    def _due(self, what: str, seconds: float) -> bool:
        if now() < self._next[what]:
            return False
        self._next[what] = now() + seconds
        return True

    # --- all messages but hellos

    def _on(self, plane: int, message: Message, sender: int) -> list[Message]:
        handlers = {
            (CONTROL, PRE_VOTE): self._on_vote,
            (CONTROL, VOTE): self._on_vote,
            (CONTROL, PRE_VOTE_ANSWER): self._on_vote_answer,
            (CONTROL, VOTE_ANSWER): self._on_vote_answer,
            (CONTROL, HEARTBEAT): self._on_heartbeat,
            (CONTROL, HEARTBEAT_ANSWER): self._on_heartbeat_answer,
            (CONTROL, TIMEOUT_NOW): self._on_timeout_now,
            (DATA, APPEND): self._on_append,
            (DATA, APPEND_ANSWER): self._on_append_answer,
            (DATA, COMMIT): self._on_commit,
            (DATA, INSTALL_SNAPSHOT): self._on_install,
            (GATEWAYS, GREETING): self._on_greeting,
            (GATEWAYS, FORWARD): self._on_forward,
            (GATEWAYS, READ_INDEX): self._on_read_index,
        }
        handle = handlers.get((plane, message[0]))
        return handle(message, sender) if handle else []

    def _enter(self, term: int, vote: int) -> None:
        if term > self.term:
            self.verified = self.leader = 0
            self.leads = self.campaigning = self.pre_voting = False
        self.term, self.vote = term, vote

    def _may_grant(self, transfer: bool) -> bool:
        patience = self.timeout_min_ms / 1000
        calm = transfer or now() - self.heard_at >= patience
        return calm and now() - self.started >= patience and not self.leads

    def _on_vote(self, message: Message, candidate: int) -> list[Message]:
        tag, term, ballot, last, *rest = message
        free = term > self.term or (term == self.term and self.vote in (0, candidate))
        fresh = (last[1], last[0]) >= (self.log.last[1], self.log.last[0])
        granted = self._may_grant(bool(rest and rest[0])) and free and fresh
        if granted and tag == VOTE:
            self._enter(term, candidate)
        return [[tag + 1, term, ballot, granted, self.term, 0]]

    def _on_heartbeat(self, message: Message, leader: int) -> list[Message]:
        _, term, round_ = message
        if term < self.term:
            return [[HEARTBEAT_ANSWER, term, round_, False, self.term]]
        self._enter(term, self.vote if term == self.term else 0)
        self.leader, self.heard_at = leader, now()
        self.campaigning = self.pre_voting = False
        return [[HEARTBEAT_ANSWER, term, round_, True, term]]

    def _on_append(self, message: Message, leader: int) -> list[Message]:
        _, term, (index, previous_term), entries, commit = message
        if not self.hears_entries or not all(is_sound(at, data) for at, data in enumerate(entries, index + 1)):
            return []
        if term < self.term:
            return [self._append_answer(False, 0, index, [0, 0])]
        self._enter(term, self.vote if term == self.term else 0)
        self.leader = leader
        here = self.log.term_at(index)
        if index < self.log.base[0]:
            return [self._append_answer(True, self.log.base[0], index, [0, 0])]
        if here is None:
            return [self._append_answer(False, 0, index, [self.log.last[0] + 1, 0])]
        if here != previous_term:
            first = index
            while first > self.commit + 1 and self.log.term_at(first - 1) == here:
                first -= 1
            return [self._append_answer(False, 0, index, [first, here])]
        for at, data in enumerate(entries, index + 1):
            if self.log.term_at(at) != term_of(data):
                assert at > self.commit
                self.log.put(at, data)
        self.verified = max(self.verified, index + len(entries))
        self._commit_to(min(commit, self.verified))
        return [self._append_answer(True, index + len(entries), index, [0, 0])]

    def _append_answer(self, success: bool, match: int, probe: int, conflict: list[int]) -> Message:
        checkpoint = self.log.checkpoint if success else [0, 0]
        versions = CLUSTER_VERSIONS, self.log.state.version
        return [APPEND_ANSWER, self.term, success, match, self.commit, probe, conflict, checkpoint, *versions]

    def _commit_to(self, index: int) -> None:
        self.commit = max(self.commit, index)
        self.log.apply_to(self.commit)

    def _on_commit(self, message: Message, _: int) -> list[Message]:
        _, term, index = message
        if term == self.term:
            self._commit_to(min(index, self.verified))
        return []

    def _on_install(self, message: Message, leader: int) -> list[Message]:
        _, term, snapshot, offset, crc, data = message
        index, last_term, size, checksum = snapshot
        if not self.hears_entries or google_crc32c.value(data) != crc:
            return []
        if term < self.term:
            return [[INSTALL_ANSWER, self.term, snapshot, 0, False, ""]]
        self._enter(term, self.vote if term == self.term else 0)
        self.leader = leader
        if index <= self.commit:
            return [[INSTALL_ANSWER, term, snapshot, size, True, ""]]
        if not data and self.staged[0] != snapshot:
            self.staged = (snapshot, b"")
        if self.staged[0] != snapshot:
            return []
        if offset == len(self.staged[1]):
            self.staged = (snapshot, self.staged[1] + data)
        held = self.staged[1]
        if len(held) < size:
            return [[INSTALL_ANSWER, term, snapshot, len(held), False, ""]]
        manifest, read = manifest_of(held)
        assert hashlib.sha256(manifest).digest() == checksum
        assert (read[1], read[2], hashlib.sha256(held[: read[6]]).digest()) == (index, last_term, read[7])
        self.log.install(index, last_term, held)
        self.commit = self.verified = index
        self.installed.append(snapshot)
        return [[INSTALL_ANSWER, term, snapshot, size, True, ""]]

    def _on_greeting(self, message: Message, sender: int) -> list[Message]:
        assert message[1] == self.name_of(sender)
        self.endpoints[sender] = message[2]
        return []

    # --- leading

    def ask_for_votes(self) -> None:
        """Begin a ballot, with a pre-vote."""
        self.ballot += 1
        self.pre_voting, self.pre_votes, self.pre_votes_told = True, {self.me}, {}
        for member in self.others():
            self.send(member, CONTROL, [PRE_VOTE, self.term + 1, self.ballot, self.log.last])

    def _campaign(self, transfer: bool) -> None:
        self._enter(self.term + 1, self.me)
        self.campaigning, self.votes = True, {self.me}
        for member in self.others():
            self.send(member, CONTROL, [VOTE, self.term, self.ballot, self.log.last, transfer])

    def _on_timeout_now(self, message: Message, leader: int) -> list[Message]:
        if (message[1], leader) == (self.term, self.leader):
            self.ballot += 1
            self._campaign(transfer=True)
        return []

    def _on_vote_answer(self, message: Message, voter: int) -> list[Message]:
        tag, term, ballot, granted, _, _ = message
        if tag == PRE_VOTE_ANSWER and ballot == self.ballot:
            self.pre_votes_told[voter] = granted
        if ballot != self.ballot or not granted:
            return []
        if tag == PRE_VOTE_ANSWER and self.pre_voting and term == self.term + 1:
            self.pre_votes.add(voter)
            if 2 * len(self.pre_votes) > len(self.members):
                self.pre_voting = False
                self._campaign(transfer=False)
        if tag == VOTE_ANSWER and self.campaigning and term == self.term:
            self.votes.add(voter)
            if 2 * len(self.votes) > len(self.members):
                self._lead()
        return []

    def _lead(self) -> None:
        self.campaigning, self.leads, self.leader = False, True, self.me
        self.round, self.rounds, self.asked, self.seen = 0, {}, [], {}
        self.match = dict.fromkeys(self.others(), 0)
        self.next = dict.fromkeys(self.others(), self.log.last[0] + 1)
        self.propose(EMPTY, [0, 0, 0, 0], b"")
        self._beat()

    def propose(self, kind: int, origin: Message, payload: bytes) -> None:
        """Append an entry of the own term."""
        index = self.log.last[0] + 1
        self.log.put(index, entry(index, self.term, kind, origin, payload))
        for member in self.others():
            self._feed(member)

    def _feed(self, member: int) -> None:
        previous = self.next[member] - 1
        term = self.log.term_at(previous)
        self.send(member, DATA, [APPEND, self.term, [previous, term], self.log.behind(previous), self.commit])

    def _beat(self) -> None:
        self.round += 1
        for member in self.others():
            self.send(member, CONTROL, [HEARTBEAT, self.term, self.round])

    def _on_heartbeat_answer(self, message: Message, member: int) -> list[Message]:
        _, term, round_, acknowledged, current = message
        if not acknowledged:
            assert current > term
            self._enter(max(current, self.term), self.vote if current <= self.term else 0)
        elif self.leads and term == self.term:
            self.rounds[member] = max(round_, self.rounds.get(member, 0))
            self._answer_reads()
        return []

    def _on_append_answer(self, message: Message, member: int) -> list[Message]:
        _, term, success, match, _, probe, conflict, *_ = message
        if term > self.term:
            self._enter(term, 0)
        if not self.leads or term < self.term:
            return []
        if success:
            assert match <= self.log.last[0]
            self.match[member] = max(match, self.match[member])
            self.next[member] = self.match[member] + 1
        elif conflict[0]:
            self.next[member] = max(self.match[member] + 1, min(conflict[0], probe))
        reached = sorted([*self.match.values(), self.log.last[0]], reverse=True)[len(self.members) // 2]
        if reached > self.commit and self.log.term_at(reached) == self.term:
            self._commit_to(reached)
            for other in self.others():
                self.send(other, DATA, [COMMIT, self.term, self.commit])
        return []

    def _on_forward(self, message: Message, sender: int) -> list[Message]:
        _, term, origin, _, payload, *kind = message
        assert kind in ([], [COMMANDS])
        if not self.leads or term != self.term:
            return [[NOT_PROPOSED, origin, "NotLeader", "this node does not lead that term"]]
        if origin[3] > self.seen.get(origin[2], 0):
            self.seen[origin[2]] = origin[3]
            self.propose(COMMANDS, origin, payload)
        return []

    def _on_read_index(self, message: Message, sender: int) -> list[Message]:
        if not self.leads:
            return [[READ_INDEX_ANSWER, message[1], 0, 0, "NotLeader", "this node does not lead"]]
        self.asked.append((self.round + 1, sender, message[1]))
        self._beat()
        return []

    def _answer_reads(self) -> None:
        confirmed = sorted([*self.rounds.values(), self.round], reverse=True)
        reached = confirmed[len(self.members) // 2] if len(confirmed) > len(self.members) // 2 else 0
        if not self.commit or self.log.term_at(self.commit) != self.term:
            return
        for asked in [one for one in self.asked if one[0] <= reached]:
            self.asked.remove(asked)
            self.send(asked[1], GATEWAYS, [READ_INDEX_ANSWER, asked[2], self.term, self.commit, "", ""])
