"""How a cluster forms, and who may never join it: the index-0 record.

A fresh node says hello to every name of its initial list. When all have answered, each with its member id, it stores
the record: the sorted names and ids, the minimum election time-out, the initial state. It takes part in elections
only after *every* name confirmed that it stored the same record, or a member that saw so says it. After that the list
only maps names to addresses. So a wiped disk under an old name never votes twice, nor forms a second cluster with a
node that was cut off (trap 36): its name stands in a stored record under another id, and it is refused.

Two nodes that gathered different ids for one name store different records. Nobody forms then, and each says who
differs: a record is stored once in a life, so such a directory must be emptied by its operator.

A node that was told how to join a running cluster as well, and holds nothing yet, gives up forming as soon as one of
the names shows a cluster that has formed without it: it is to join that as a new member.
"""

from __future__ import annotations

import msgspec

from zraft.core.effects import Ignored, Notice, ToStorage
from zraft.protocol.entries import ClusterRecord, Configuration, Member
from zraft.protocol.local import StorageStatus, StoreRecord
from zraft.protocol.peer import Hello

HELLO_SECONDS = 0.1
HELLO_SECONDS_REFUSED = 1.0
CONFLICT_SECONDS = 3.0
"""A conflict ends when it has not been seen for so long: of two nodes with one name, now one answers, now the other."""


class SayHello(msgspec.Struct, frozen=True):
    """Send ``message`` to the node of this name."""

    name: str
    message: Hello


class Formed(msgspec.Struct, frozen=True):
    """The cluster is formed: elections may begin."""

    record: ClusterRecord


class Outside(msgspec.Struct, frozen=True):
    """The node of this name is in a cluster that has formed without this one, which may join it as a new member."""

    name: str


class Own(msgspec.Struct, frozen=True):
    """What this node was told at its start: its name, the names of the first members, their promise."""

    name: str
    names: tuple[str, ...]
    election_timeout_min_ms: int
    initial_state: bytes = b""
    may_join: bool = False
    """It was also told how to join a cluster that runs."""


Effect = SayHello | ToStorage[StoreRecord] | Notice | Formed | Outside | Ignored


class Formation:
    """Forms the cluster, then answers whoever still asks. ``now`` is in seconds."""

    def __init__(self, own: Own, status: StorageStatus, now: float) -> None:
        self._own = own
        self._me = status.member
        self._record = status.record
        self._members = status.configuration.members
        self._formed = status.formed
        self._storing = False
        self._heard: dict[str, Hello] = {}
        self._conflicts: dict[str, tuple[str, float]] = {}
        self._notice = ""
        self._now = now
        self._next_hello = now

    @property
    def formed(self) -> bool:
        """Whether elections may begin."""
        return self._formed

    def begin(self) -> list[Effect]:
        """Effects of what storage held at the start."""
        if self._record is not None and self._formed:
            fault = self._contradiction(self._record)
            return [Notice(fault)] if fault else [Formed(self._record)]
        return self._gather()

    def next_deadline(self) -> float | None:
        """When ``tick`` must be called next; None once formed."""
        return None if self._formed else self._next_hello

    def meet(self, configuration: Configuration) -> None:
        """The members have changed since the cluster was formed."""
        self._members = configuration.members

    def tick(self, now: float) -> list[Effect]:
        """Say hello to everybody until the cluster is formed: a message may be lost, a node may start late."""
        self._now = now
        if self._formed or now < self._next_hello:
            return []
        self._conflicts = {name: (fault, end) for name, (fault, end) in self._conflicts.items() if now < end}
        self._next_hello = now + (HELLO_SECONDS_REFUSED if self._conflicts else HELLO_SECONDS)
        return [SayHello(name, self._hello()) for name in self._own.names if name != self._own.name]

    def on_hello(self, message: Hello) -> tuple[list[Effect], Hello | None]:
        """Take in a hello; the second value is the answer to it, if it wants one."""
        fault = self._fault_of(message)
        answer = None if message.answer else self._hello(answer=True, refusal=fault)
        if message.name not in self._names():
            return [Ignored(f"hello of {message.name}, which is not in the list of peers")], answer
        if self._is_outside(message):
            return [Outside(message.name)], answer
        if message.refusal and not fault:
            fault = f"{message.name} refuses this node: {message.refusal}"
        if fault:
            self._conflicts[message.name] = fault, self._now + CONFLICT_SECONDS
            self._heard.pop(message.name, None)
        else:
            self._heard[message.name] = message
        if self._formed:
            return ([Ignored(fault)] if fault else []), answer
        return self._gather(), answer

    def on_stored(self, status: StorageStatus) -> list[Effect]:
        """Storage made the record durable."""
        self._storing = False
        self._record = status.record
        self._members = status.configuration.members
        if status.formed and not self._formed and status.record is not None:
            self._formed = True
            return [Notice(""), Formed(status.record)]
        return self._gather()

    def _gather(self) -> list[Effect]:
        if self._storing:
            return []
        if self._conflicts:
            return self._say("; ".join(fault for _, (fault, _) in sorted(self._conflicts.items())))
        if self._record is None:
            return self._propose_record()
        fault = self._contradiction(self._record)
        if fault:
            return self._say(fault)
        mine = self._record.cluster_id()
        others = [member.name for member in self._record.members if member.id != self._me]
        agree = [name for name in others if name in self._heard and self._heard[name].record == mine]
        proven = any(self._heard[name].formed for name in agree)
        if proven or len(agree) == len(others):
            self._storing = True
            return [ToStorage(StoreRecord(self._record, formed=True))]
        missing = ", ".join(name for name in others if name not in agree)
        return self._say(f"the cluster is forming: waiting for {missing} to confirm the members")

    def _propose_record(self) -> list[Effect]:
        """All names answered: the record is what they are."""
        proof = next((hello for hello in self._heard.values() if hello.record and self._lists_me(hello)), None)
        if proof is not None:
            return self._store(ClusterRecord(proof.members, proof.election_timeout_min_ms, proof.initial_state))
        missing = [name for name in self._own.names if name != self._own.name and name not in self._heard]
        if missing:
            return self._say(f"the cluster is forming: waiting for {', '.join(missing)} to answer")
        ids = {name: hello.member for name, hello in self._heard.items()} | {self._own.name: self._me}
        members = tuple(Member(ids[name], name) for name in self._own.names)
        return self._store(ClusterRecord(members, self._own.election_timeout_min_ms, self._own.initial_state))

    def _store(self, record: ClusterRecord) -> list[Effect]:
        self._storing = True
        return [ToStorage(StoreRecord(record, formed=False))]

    def _is_outside(self, hello: Hello) -> bool:
        """Not with a restored state: the log of another cluster would begin with that."""
        holds_nothing = self._record is None and not self._storing and not self._own.initial_state
        return self._own.may_join and holds_nothing and hello.formed and not self._lists_me(hello)

    def _names(self) -> tuple[str, ...]:
        """Whose hello matters: the members', once there is a record, whatever the list of peers says by now."""
        return tuple(member.name for member in self._members) if self._record else self._own.names

    def _lists_me(self, hello: Hello) -> bool:
        return Member(self._me, self._own.name) in hello.members

    def _fault_of(self, hello: Hello) -> str:
        """Why the two of us can't be in one cluster; empty when we can."""
        own = self._own
        if hello.name == own.name:
            if hello.member == self._me:
                return f"{own.name} talks to itself: the address of another peer leads back to this node"
            return f"two nodes are named {own.name} ({self._me:016x} and {hello.member:016x}): rename one of them"
        known = self._heard.get(hello.name)
        if self._record is None and not hello.record:
            if hello.names != own.names:
                return (
                    f"{hello.name} was started with the members {', '.join(hello.names)}, {own.name} with "
                    f"{', '.join(own.names)}: start all of them with the same list"
                )
            if hello.election_timeout_min_ms != own.election_timeout_min_ms:
                return (
                    f"election_timeout_min_ms is {hello.election_timeout_min_ms} on {hello.name}, but "
                    f"{own.election_timeout_min_ms} on {own.name}: it must be the same everywhere"
                )
            if hello.initial_state != own.initial_state:
                return (
                    f"{hello.name} begins with {_origin(hello.initial_state)}, {own.name} with "
                    f"{_origin(own.initial_state)}: restore the same file, with the same options, on all of them"
                )
            if known is not None and known.member != hello.member:
                return f"two nodes are named {hello.name} ({known.member:016x} and {hello.member:016x}): stop one"
            return ""
        if self._record is not None and hello.record and hello.record != self._record.cluster_id():
            return (
                f"the data directory of {hello.name} belongs to cluster {hello.record.hex()}, that of {own.name} to "
                f"{self._record.cluster_id().hex()}: one of them is another cluster's disk"
            )
        if self._record is not None:
            return _stranger(hello.name, hello.member, self._members, own.name)
        return _stranger(own.name, self._me, hello.members, hello.name)

    def _contradiction(self, record: ClusterRecord) -> str:
        """Why this node can't serve with the record that it stored; empty when it can.

        One that joined later is not in the record, and in a configuration only once the leader has sent it that.
        """
        owner = next((one.name for one in (*self._members, *record.members) if one.id == self._me), self._own.name)
        if owner != self._own.name:
            return (
                f"this data directory belongs to another node of cluster {record.cluster_id().hex()}, {owner}, not to "
                f"{self._own.name}: start it under its own name, or with its own directory"
            )
        if record.election_timeout_min_ms != self._own.election_timeout_min_ms:
            return (
                f"election_timeout_min_ms is {self._own.election_timeout_min_ms}, but the cluster was formed with "
                f"{record.election_timeout_min_ms}, which its members rely on: set it back"
            )
        return ""

    def _hello(self, answer: bool = False, refusal: str = "") -> Hello:
        own, record = self._own, self._record
        return Hello(
            name=own.name,
            member=self._me,
            names=own.names,
            election_timeout_min_ms=record.election_timeout_min_ms if record else own.election_timeout_min_ms,
            initial_state=record.initial_state if record else own.initial_state,
            record=record.cluster_id() if record else b"",
            members=record.members if record else (),
            formed=self._formed,
            answer=answer,
            refusal=refusal,
        )

    def _say(self, text: str) -> list[Effect]:
        if text == self._notice:
            return []
        self._notice = text
        return [Notice(text)]


def _origin(initial_state: bytes) -> str:
    return f"the restored state {initial_state.hex()[:16]}" if initial_state else "an empty state"


def _stranger(name: str, member: int, members: tuple[Member, ...], by: str) -> str:
    """Why a fresh node may not take a place in the stored record; empty when the place is its own."""
    for listed in members:
        if listed.name == name:
            if listed.id == member:
                return ""
            return (
                f"{name} has a new or wiped data directory (member {member:016x}), but the cluster knows {name} as "
                f"{listed.id:016x}: give it its old directory back; or run zraft member remove {name}, then start it "
                "with --join"
            )
    names = ", ".join(listed.name for listed in members)
    return (
        f"{name} is no member of the cluster that {by} belongs to: its members are {names}. With --join it becomes one"
    )
