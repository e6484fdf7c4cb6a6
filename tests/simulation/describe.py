"""One line for each message and effect: what a reader of a trace sees."""

import msgspec

from zraft.protocol.entries import ClusterRecord, Configuration, EntryId, Origin
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    CommitGroup,
    HandOver,
    Keep,
    Lead,
    Read,
    ReadAnswer,
    Ready,
    Resume,
    RoleGroup,
    StorageStatus,
)
from zraft.protocol.peer import (
    Append,
    AppendAnswer,
    Commit,
    Heartbeat,
    HeartbeatAnswer,
    InstallAnswer,
    InstallSnapshot,
    PreVote,
    PreVoteAnswer,
    SnapshotId,
    TimeoutNow,
    Vote,
    VoteAnswer,
)


def describe(what: object) -> str:
    match what:
        case str():
            return what
        case Append(term, previous, entries, commit):
            return f"Append t{term} {previous} +{len(entries)} commit {commit}"
        case AppendAnswer(term, True, match, commit):
            return f"AppendAnswer t{term} match {match} commit {commit}"
        case AppendAnswer(term, False, _, commit, probe, conflict):
            return f"AppendAnswer t{term} refused {probe}, conflict {conflict} commit {commit}"
        case Commit(term, index) | CommitGroup(term, index):
            return f"{type(what).__name__} t{term} {index}"
        case Heartbeat(term, number):
            return f"Heartbeat t{term} round {number}"
        case HeartbeatAnswer(term, number, acknowledged, current):
            return f"HeartbeatAnswer t{term} round {number}" + ("" if acknowledged else f" refused, t{current}")
        case PreVote(term, ballot, last) | Vote(term, ballot, last):
            asked = " by transfer" if isinstance(what, Vote) and what.transfer else ""
            return f"{type(what).__name__} t{term} ballot {ballot} last {last}{asked}"
        case TimeoutNow(term) | Resume(term):
            return f"{type(what).__name__} t{term}"
        case HandOver(term, number, candidates):
            return f"HandOver #{number} t{term} to {' or '.join(map(str, candidates))}"
        case Ready(term, number, target):
            return f"Ready #{number} t{term} {target}"
        case PreVoteAnswer() | VoteAnswer():
            granted = "granted" if what.granted else f"refused, t{what.storage_term}"
            return f"{type(what).__name__} t{what.term} ballot {what.ballot} {granted}"
        case Campaign(term, ballot):
            return f"Campaign t{term} ballot {ballot}"
        case CampaignAnswer():
            granted = "granted" if what.granted else f"refused, t{what.storage_term}"
            return f"CampaignAnswer t{what.term} ballot {what.ballot} {granted} last {what.last}"
        case StorageStatus():
            return f"StorageStatus t{what.term} vote {what.vote} last {what.last}"
        case Lead(term, last):
            return f"Lead t{term} behind {last}"
        case InstallSnapshot(term, snapshot, offset, _, data):
            return f"InstallSnapshot t{term} of {snapshot.index}/{snapshot.term} at {offset} +{len(data)}"
        case InstallAnswer(term, snapshot, offset, installed, reason):
            said = "installed" if installed else reason or f"holds {offset}"
            return f"InstallAnswer t{term} of {snapshot.index}/{snapshot.term} {said}"
        case ReadAnswer(term, peer, _, (), SnapshotId(index)):
            return f"ReadAnswer t{term} for {peer} cut, but a snapshot of {index}"
        case Keep(term, index):
            return f"Keep t{term} what follows {index}"
        case Read(term, peer, first):
            return f"Read t{term} from {first} for {peer}"
        case ReadAnswer(term, peer, previous, entries):
            return f"ReadAnswer t{term} for {peer} {previous} +{len(entries)}"
        case RoleGroup(term, role, leader):
            return f"{role} t{term}, leader {leader or 'unknown'}"
        case _:
            return _generic(what)


def _generic(what: object) -> str:
    if isinstance(what, EntryId):
        return str(what)
    if isinstance(what, Origin):
        return f"{what.member}.{what.gateway}#{what.number}"
    if isinstance(what, bytes):
        return f"<{len(what)}>"
    if isinstance(what, Configuration | ClusterRecord):
        return "members " + ",".join(str(member.id) for member in what.members)
    if isinstance(what, msgspec.Struct):
        fields = (f"{name}={_generic(getattr(what, name))}" for name in what.__struct_fields__)
        return " ".join((type(what).__name__, *fields))
    return str(what)
