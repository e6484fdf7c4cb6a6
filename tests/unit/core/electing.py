"""One member, A, whose election the tests step through. Times are seconds of its clock."""

from tests.unit.core.cast import THREE, A, B, C
from zraft.core.effects import Send
from zraft.core.election import Election
from zraft.core.roles import LEADER, PublishRole, Timing
from zraft.core.vitality import REPLICATION
from zraft.protocol.entries import ClusterRecord, EntryId
from zraft.protocol.local import CampaignAnswer, Pong, RoleGroup, StorageStatus
from zraft.protocol.peer import PreVoteAnswer, VoteAnswer

TIMING = Timing(heartbeat=0.05, election_min=0.15, election_max=0.25, stall_limit=1000.0)
TIME_OUT = 0.2
"""Of A, by the jitter that it is given."""
LAST = EntryId(7, 2)
GATEWAY = 0


def status(term: int = 3, vote: int = 0, record: ClusterRecord = THREE) -> StorageStatus:
    return StorageStatus(A, term, vote, LAST, record, True, record.configuration())


def new(term: int = 3, record: ClusterRecord = THREE, timing: Timing = TIMING) -> Election:
    """Member A, started at 10 s with its storage in ``term``; the first pings are out."""
    election = Election(A, status(term, record=record), timing, started=10.0, now=10.0, jitter=lambda: 0.5)
    election.tick(10.0)
    return election


def leading(record: ClusterRecord = THREE, timing: Timing = TIMING) -> Election:
    """A leads term 4 since 11.0 s, when its replication answered; it was elected by its first ballot."""
    election = new(record=record, timing=timing)
    election.pong(REPLICATION, Pong(1, 0, False, 3), 11.0)
    election.tick(11.0)
    election.step(status(record=record), 11.0)
    others = [member.id for member in record.members[1:]][: len(record.members) // 2]
    for voter in others:
        election.step(PreVoteAnswer(4, 1, True, 3), 11.0, voter)
    election.step(CampaignAnswer(4, 1, True, 4, LAST, record.configuration()), 11.0)
    for voter in others:
        election.step(VoteAnswer(4, 1, True, 4), 11.0, voter)
    assert election.role == LEADER
    return election


def role(term: int, role: str, leader: int, why: str) -> PublishRole:
    return PublishRole(RoleGroup(term, role, leader), why)


def to_others(message: object) -> list[object]:
    return [Send(B, message), Send(C, message)]
