"""What the actors of one node say to each other over ipc.

A message is two frames, [incarnation, 8 bytes][message]: one of another incarnation is dropped (S1).
These structs never leave the node, so they may change with any version.
"""

from __future__ import annotations

import msgspec

from zraft.protocol.entries import ClusterRecord, Configuration, EntryId, EntryKind, Origin
from zraft.protocol.peer import Append, AppendAnswer, Commit, Diverged, NotProposed, SnapshotId


class _Message(msgspec.Struct, array_like=True, frozen=True):
    pass


# --- election -> storage, and the answers


class StatusQuery(_Message, tag=10, frozen=True):
    """What does storage hold? Election's first question in its life, and a candidate's before its pre-vote."""


class StorageStatus(_Message, tag=11, frozen=True):
    """Answer to ``StatusQuery``, and sent unasked when the configuration changes, or is committed.

    ``record`` is None, and ``configuration`` empty, before the cluster has formed. ``initial_state``: see
    ``Log.initial_state``.
    """

    member: int
    term: int
    vote: int
    last: EntryId
    record: ClusterRecord | None
    formed: bool
    configuration: Configuration
    initial_state: bytes = b""
    commit: int = 0
    may_campaign: bool = True


class StoreRecord(_Message, tag=12, frozen=True):
    """Store the index-0 record, once in a life; ``formed`` may be added later. Answered with ``StorageStatus``."""

    record: ClusterRecord
    formed: bool


class Campaign(_Message, tag=13, frozen=True):
    """Take ``term`` and vote for ourselves, durably. Closes every earlier ballot."""

    term: int
    ballot: int


class CampaignAnswer(_Message, tag=14, frozen=True):
    """``configuration`` is the one in force at ``last``: the one that the ballot counts with."""

    term: int
    ballot: int
    granted: bool
    storage_term: int
    last: EntryId
    configuration: Configuration


class VoteQuery(_Message, tag=15, frozen=True):
    """A peer's Vote or PreVote (``durable`` false), handed to storage for its decision."""

    term: int
    candidate: int
    ballot: int
    last: EntryId
    durable: bool


class VoteQueryAnswer(_Message, tag=16, frozen=True):
    """The decision: ``term``, ``candidate`` and ``ballot`` are the query's."""

    term: int
    candidate: int
    ballot: int
    durable: bool
    granted: bool
    storage_term: int


class Ping(_Message, tag=17, frozen=True):
    """Election asks replication and storage how they get on."""

    number: int


class Pong(_Message, tag=18, frozen=True):
    """``done`` counts work finished since start; ``pending``: there is work that is not finished."""

    number: int
    done: int
    pending: bool
    term: int


# --- election -> replication


class Lead(_Message, tag=20, frozen=True):
    """The ballot is won: propose in ``term``, from ``last`` on, to the voters of ``configuration``."""

    term: int
    last: EntryId
    configuration: Configuration


class Stop(_Message, tag=21, frozen=True):
    """Lead no more: at once, in every term up to ``term``."""

    term: int


class Deposed(_Message, tag=22, frozen=True):
    """Replication met a storage of a higher term: the leader must step down."""

    term: int


class Members(_Message, tag=23, frozen=True):
    """The leader of ``term`` appended a configuration: from now on rounds and leases count it. Answer: ``Counted``."""

    term: int
    configuration: Configuration


class Counted(_Message, tag=24, frozen=True):
    """Election's rounds and leases of ``term`` count the configuration at ``index`` (S14)."""

    term: int
    index: int


class Removed(_Message, tag=25, frozen=True):
    """The configuration without this node, which led ``term``, is committed: it must step down ([D] 4.2.2)."""

    term: int


class HandOver(_Message, tag=26, frozen=True):
    """Take no proposals in ``term`` until ``Resume``, and say when one of ``candidates`` has all entries.

    ``number`` tells one hand-over of a term from the next.
    """

    term: int
    number: int
    candidates: tuple[int, ...]


class Ready(_Message, tag=27, frozen=True):
    """Answers ``HandOver``: ``target`` has every entry that there is in ``term``."""

    term: int
    number: int
    target: int


class Resume(_Message, tag=28, frozen=True):
    """Nobody took over: take proposals in ``term`` again."""

    term: int


# --- replication -> own storage


class Read(_Message, tag=30, frozen=True):
    """Entries from index ``first`` on, up to ``bytes_max`` (at least one), for a peer that lags (S4).

    ``damaged``: checksum of the snapshot that was offered instead, and turned out to be damaged; else empty.
    """

    term: int
    peer: int
    first: int
    bytes_max: int
    damaged: bytes = b""


class ReadAnswer(_Message, tag=31, frozen=True):
    """``previous`` precedes the entries. ``term`` above the request's: refused.

    Without entries: they were cut from the log, and ``snapshot`` covers them; None: there is none yet, ask again.
    """

    term: int
    peer: int
    previous: EntryId
    entries: tuple[bytes, ...]
    snapshot: SnapshotId | None = None


class Keep(_Message, tag=32, frozen=True):
    """A snapshot that ends at ``index`` is on its way to a peer: cut no entry above it for the next seconds."""

    term: int
    index: int


# --- gateway <-> replication, election, storage


class Propose(_Message, tag=40, frozen=True):
    """A batch of commands for the leader of ``term``: sent at most once (S9). ``grows``: it may grow the state.

    ``kind`` is the entry's: a proposal of a configuration holds one encoded ``ChangeMember``, of which the leader makes
    the members to come.
    """

    term: int
    origin: Origin
    grows: bool
    payload: bytes
    kind: int = EntryKind.COMMANDS


class RoundRequest(_Message, tag=41, frozen=True):
    """Confirm leadership with a round whose first message leaves after this arrived."""

    gateway: int
    request: int


class RoundAnswer(_Message, tag=42, frozen=True):
    """A majority answered such a round of ``term``; 0: this node does not lead."""

    request: int
    term: int


class TransferRequest(_Message, tag=45, frozen=True):
    """Hand the leadership over to the member named ``to``; empty: to whoever is ready first."""

    gateway: int
    request: int
    to: str


class TransferAnswer(_Message, tag=46, frozen=True):
    """The member named ``leader`` leads ``term`` now; or an error, when ``code`` is not empty."""

    request: int
    leader: str
    term: int
    code: str = ""
    message: str = ""


class Register(_Message, tag=50, frozen=True):
    """A gateway makes itself known to storage: at its start, with each incarnation, and from time to time."""

    gateway: int
    nonce: int


class Results(_Message, tag=51, frozen=True):
    """The results of our proposal ``origin``: ``results`` is a msgpack array, one for each command."""

    origin: Origin
    index: int
    results: bytes


class AppliedTerm(_Message, tag=52, frozen=True):
    """An entry of ``term`` has been applied: a proposal of an older term that has no result by now never will."""

    term: int


class WaitApplied(_Message, tag=53, frozen=True):
    """Tell me when ``index`` has been applied."""

    index: int


class Applied(_Message, tag=54, frozen=True):
    """Everything up to ``index`` has been applied and can be read."""

    index: int


class Registered(_Message, tag=55, frozen=True):
    """Answers ``Register``. ``fresh``: results for this gateway may have been dropped before."""

    fresh: bool


ElectionToStorage = StatusQuery | StoreRecord | Campaign | VoteQuery | Ping
StorageToElection = StorageStatus | CampaignAnswer | VoteQueryAnswer | Pong
ElectionToReplication = Lead | Stop | HandOver | Resume | Counted | Ping
ReplicationToElection = Deposed | Ready | Members | Removed | Pong
ReplicationToStorage = Append | Commit | Read | Keep | Diverged
StorageToReplication = AppendAnswer | ReadAnswer
GatewayToReplication = Propose
ReplicationToGateway = NotProposed
GatewayToElection = RoundRequest | TransferRequest
ElectionToGateway = RoundAnswer | TransferAnswer
GatewayToStorage = Register | WaitApplied
StorageToGateway = Results | AppliedTerm | Applied | Registered


# --- the page: what one process publishes for all others of the node


class NodeGroup(_Message, frozen=True):
    """Written by the supervisor. ``incarnation`` 0: the trio is not running."""

    incarnation: int


class RoleGroup(_Message, frozen=True):
    """Written by election. ``leader`` is a member id, 0 when none is known. A hint, like all on the page but reads."""

    term: int
    role: str
    leader: int


class LeaseGroup(_Message, frozen=True):
    """Written by election while it leads ``term``: nobody else does before ``end``, in this machine's seconds (S12)."""

    term: int
    end: float


class CommitGroup(_Message, frozen=True):
    """Written by replication while it leads ``term``, before it tells anyone (S10)."""

    term: int
    commit: int


class Holdings(_Message, frozen=True):
    """What the node's stores hold. Bytes are of pages in use: a file may be larger, what was freed in it is used again.

    ``snapshot``: the last log index that the newest snapshot contains, 0 when there is none. While a snapshot is
    received, ``installing_held_bytes`` of ``installing_bytes`` are here; both are 0 at any other time.
    """

    snapshot: int = 0
    log_bytes: int = 0
    state_bytes: int = 0
    snapshots_bytes: int = 0
    installing_held_bytes: int = 0
    installing_bytes: int = 0


class StorageGroup(_Message, frozen=True):
    """Written by storage. ``space``: 0 enough, 1 within the reserve, 2 the reserve is nearly used up.

    ``compacted`` and ``swept``: see ``core.records.AppliedState``. ``cluster_version``: of the state. ``catching_up``:
    as ``core.catching_up`` looks.
    """

    generation: int
    term: int
    first: int
    last: int
    commit: int
    applied: int
    revision: int
    space: int
    compacted: int = 0
    swept: int = 0
    holdings: Holdings = Holdings()
    cluster_version: int = 1
    catching_up: int | None = None


class IdentityGroup(_Message, frozen=True):
    """Written by storage: who this node is, the configuration in force, and the record that the cluster began with."""

    member: int
    cluster: bytes
    configuration: Configuration
    record: ClusterRecord | None = None
