"""What election is told and what it wants: roles, times, messages and effects. Who decides is ``core.election``."""

from __future__ import annotations

import msgspec

from zraft.core.effects import Ignored, Notice, Send, ToGateway, ToReplication, ToStorage
from zraft.core.lease import PublishLease
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    Counted,
    Deposed,
    HandOver,
    Lead,
    Members,
    Ping,
    Ready,
    Removed,
    Resume,
    RoleGroup,
    RoundAnswer,
    RoundRequest,
    StatusQuery,
    Stop,
    StorageStatus,
    TransferAnswer,
    TransferRequest,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import Heartbeat, HeartbeatAnswer, PreVote, PreVoteAnswer, TimeoutNow, Vote, VoteAnswer

FOLLOWER = "follower"
CANDIDATE = "candidate"
LEADER = "leader"


class PublishRole(msgspec.Struct, frozen=True):
    """Publish this on the page; ``why`` is for the log line, empty when there is nothing new to say."""

    role: RoleGroup
    why: str


class Timing(msgspec.Struct, frozen=True):
    """Seconds. See ``Settings`` for meaning and bounds."""

    heartbeat: float
    election_min: float
    election_max: float
    stall_limit: float
    lease: float = 0.0
    """How long a majority's acknowledgement of a round lasts as a lease; 0: there are none."""


PeerMessage = PreVote | PreVoteAnswer | Vote | VoteAnswer | Heartbeat | HeartbeatAnswer | TimeoutNow
LocalMessage = (
    StorageStatus
    | CampaignAnswer
    | VoteQueryAnswer
    | Deposed
    | Ready
    | Members
    | Removed
    | RoundRequest
    | TransferRequest
)
Effect = (
    Send[PeerMessage]
    | ToStorage[StatusQuery | Campaign | VoteQuery | Ping]
    | ToReplication[Lead | Stop | HandOver | Resume | Counted | Ping]
    | ToGateway[RoundAnswer | TransferAnswer]
    | PublishRole
    | PublishLease
    | Notice
    | Ignored
)
