"""What nodes say to each other, on three planes of their own ports.

control (P)       election  <-> election     Hello, PreVote, Vote, Heartbeat and their answers; TimeoutNow
data (P + 1)      replication -> storage     Append, Commit, InstallSnapshot and their answers; Diverged
gateways (P + 2)  gateway   <-> gateway      Greeting, Forward, NotProposed, ReadIndex and its answer

A message is two frames, [PeerHeader][message]. Who speaks is in the header; routing ids mean nothing.
Structs are arrays led by an integer tag; fields are only ever appended, with defaults: this is the contract between
versions.
"""

from __future__ import annotations

import msgspec

from zraft.protocol.entries import U64, EntryId, EntryKind, Member, Number, Origin

PEER_VERSION = 1
HEADER_BYTES_MAX = 256
"""What is in a header takes 56 bytes at most."""
CONTROL_BYTES_MAX = 64 << 10
MESSAGE_BYTES_MAX = 64 << 20
GATEWAY_BYTES_MAX = 16 << 20
"""No frame of the control, the data, and the gateways' plane is larger: a ROUTER ends the connection of one that is.

A proposal becomes an entry, which must fit in a frame of the data plane: else it could never be sent to anybody."""


class PeerHeader(msgspec.Struct, array_like=True, frozen=True):
    """First frame of every peer message.

    ``cluster``: 16 bytes, empty while the cluster forms. ``sender``, ``target``: member ids, 0 while unknown.
    ``incarnation``: of the asker's trio; an answer carries it back, so that an answer to a dead trio is dropped (S1).
    ``crc``: crc32c of the bytes of this header before it and then of the message, an u32 in five bytes however small.
    None, or left out as by 0.1.0: nobody can tell whether the message was damaged on its way.
    """

    version: Number
    cluster: bytes
    sender: U64
    target: U64
    incarnation: U64
    crc: Number | None = None


class _Message(msgspec.Struct, array_like=True, frozen=True):
    pass


# --- control plane


class Hello(_Message, tag=1, frozen=True):
    """How a cluster forms (see core/formation). Answered with a Hello of its own, ``answer`` set.

    ``names``: the sorted initial list. ``record``: the cluster id of the stored index-0 record, or empty.
    ``members``: of that record. ``formed``: every name was seen to store it. ``refusal``: why the asker may not join.
    """

    name: str
    member: U64
    names: tuple[str, ...]
    election_timeout_min_ms: Number
    initial_state: bytes
    record: bytes
    members: tuple[Member, ...]
    formed: bool
    answer: bool = False
    refusal: str = ""


class PreVote(_Message, tag=2, frozen=True):
    """Would you vote for me in ``term``? Changes nothing ([D] 9.6)."""

    term: Number
    ballot: Number
    last: EntryId


class PreVoteAnswer(_Message, tag=3, frozen=True):
    """``term`` and ``ballot`` are the request's; ``storage_term`` is what the answering storage holds.

    ``removed``: index of a committed configuration, behind the asker's log, that does not have it any more; else 0.
    """

    term: Number
    ballot: Number
    granted: bool
    storage_term: Number
    removed: Number = 0


class Vote(_Message, tag=4, frozen=True):
    """RequestVote ([R] 5.2, 5.4): the candidate is the sender.

    ``transfer``: the leader of the term before asked for this very ballot (S8), so nobody need stay with it.
    """

    term: Number
    ballot: Number
    last: EntryId
    transfer: bool = False


class VoteAnswer(_Message, tag=5, frozen=True):
    """As ``PreVoteAnswer``, for a vote that is durable when granted."""

    term: Number
    ballot: Number
    granted: bool
    storage_term: Number
    removed: Number = 0


class Heartbeat(_Message, tag=6, frozen=True):
    """One message of a leader's round; the leader is the sender."""

    term: Number
    round: Number


class HeartbeatAnswer(_Message, tag=7, frozen=True):
    """Acknowledges ``round`` of ``term``, or refuses it: then ``current_term`` is above ``term``."""

    term: Number
    round: Number
    acknowledged: bool
    current_term: Number


class TimeoutNow(_Message, tag=8, frozen=True):
    """The leader of ``term`` asks for a campaign in the next term, at once ([D] 3.10). It has no answer."""

    term: Number


ControlMessage = Hello | PreVote | PreVoteAnswer | Vote | VoteAnswer | Heartbeat | HeartbeatAnswer | TimeoutNow

# --- data plane


class Append(_Message, tag=1, frozen=True):
    """AppendEntries ([R] 5.3). ``entries`` are encoded entries, the first at ``previous.index + 1``."""

    term: Number
    previous: EntryId
    entries: tuple[bytes, ...]
    commit: Number


class Checkpoint(_Message, frozen=True):
    """The digest of a state that has applied all up to ``index``, and nothing else; equal on all replicas."""

    index: Number
    digest: U64


NO_CHECKPOINT = Checkpoint(0, 0)


class AppendAnswer(_Message, tag=2, frozen=True):
    """What an Append came to, in ``term`` (the answering storage's when the request was refused).

    ``match``: previous index + number of entries when it succeeded (S2), else 0. ``commit``: the commit index that the
    storage knows. ``conflict``: on a mismatch, the (first index, term) of the conflicting term, or (last index + 1, 0)
    when the log is too short. ``probe``: previous index of the Append that this answers. ``checkpoint``: on success,
    the newest one since the storage has this state; zeros: there is none yet. ``version``: the newest cluster version
    that its code knows (see ``core.versions``). ``cluster_version``: that of its state.
    """

    term: Number
    success: bool
    match: Number
    commit: Number
    probe: Number = 0
    conflict: EntryId = EntryId(0, 0)
    checkpoint: Checkpoint = NO_CHECKPOINT
    version: Number = 1
    cluster_version: Number = 1


class Commit(_Message, tag=3, frozen=True):
    """The leader of ``term`` has committed up to ``index``."""

    term: Number
    index: Number


class SnapshotId(_Message, frozen=True):
    """Names one snapshot: the last entry in it ([R] section 7), its size in bytes, its checksum (32 bytes).

    Two snapshots of the same entry have different checksums: only pieces of one are ever put together.
    """

    index: Number
    term: Number
    size: Number
    checksum: bytes


class InstallSnapshot(_Message, tag=4, frozen=True):
    """InstallSnapshot ([R] section 7): a piece of ``snapshot``, at ``offset``, with the crc32c of ``data``.

    Without data it asks how much of the snapshot is held: that is where the stream begins, or goes on.
    """

    term: Number
    snapshot: SnapshotId
    offset: Number
    crc: Number
    data: bytes


class InstallAnswer(_Message, tag=5, frozen=True):
    """How far the receiver is with ``snapshot``, in ``term`` (the answering storage's when the request was refused).

    ``offset``: bytes held, and the only offset from which a piece is taken. ``installed``: all that the snapshot covers
    is committed here. ``reason``: why none of it is wanted any more; ``damaged`` is the one that there is.
    """

    term: Number
    snapshot: SnapshotId
    offset: Number
    installed: bool = False
    reason: str = ""


DAMAGED = "damaged"
"""``InstallAnswer.reason``: what came is not what the snapshot's checksum says, and has been thrown away."""


class Diverged(_Message, tag=6, frozen=True):
    """The leader of ``term`` has compared states: yours is not what a majority has, so stop. It has no answer.

    At ``index`` the digest of your state was ``digest``, as you said yourself; that of a majority's is ``majority``.
    """

    term: Number
    index: Number
    digest: U64
    majority: U64


DataRequest = Append | Commit | InstallSnapshot | Diverged
DataMessage = Append | Commit | AppendAnswer | InstallSnapshot | InstallAnswer | Diverged

# --- gateway plane


class Greeting(_Message, tag=1, frozen=True):
    """Tells the other gateways, again and again, where this node's clients connect, and how much it shall lead.

    A ``priority`` below 0: not now, as its disk lacks room (-1), or has hardly any (-2).
    """

    name: str
    client_endpoint: str
    priority: int = 1


class Forward(_Message, tag=2, frozen=True):
    """A proposal for the leader of ``term``, passed on as it is.

    ``grows``: it may grow the state. ``kind``: of the entry that it becomes.
    """

    term: Number
    origin: Origin
    grows: bool
    payload: bytes
    kind: Number = EntryKind.COMMANDS


class NotProposed(_Message, tag=3, frozen=True):
    """The proposal was certainly not appended; ``code`` names the class of the error."""

    origin: Origin
    code: str
    message: str


class ReadIndex(_Message, tag=4, frozen=True):
    """Ask the leader's gateway for an index that a read started by now must have applied."""

    request: U64


class ReadIndexAnswer(_Message, tag=5, frozen=True):
    """``index`` is valid when ``code`` is empty."""

    request: U64
    term: Number
    index: Number
    code: str = ""
    message: str = ""


GatewayMessage = Greeting | Forward | NotProposed | ReadIndex | ReadIndexAnswer
