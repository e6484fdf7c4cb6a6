"""Linearizable reads of one gateway: under the leader's lease, else by quorum, the read index ([D] 6.4).

A read needs an index that was committed when it arrived, from a leader that still led after it arrived, and a local
state that has applied it. On the leader's node: a heartbeat round whose first message is sent after the read arrived,
then the commit index that replication published *in that round's term*. If that is of another term, the leader has
not committed in its own yet, and the read waits (trap 40). On other nodes, the leader's gateway is asked for that
index. Reads gather while others are being confirmed: one round serves all that wait. A valid lease stands for the
round (``core.lease``).
"""

from __future__ import annotations

import msgspec

from zraft.core.admission import Caller
from zraft.core.lease import Published, leased_commit
from zraft.core.proposals import Tell
from zraft.errors import NotLeader, Unavailable
from zraft.protocol.codec import encode
from zraft.protocol.local import CommitGroup, RoleGroup, RoundAnswer, RoundRequest
from zraft.protocol.peer import ReadIndex, ReadIndexAnswer
from zraft.protocol.requests import Request
from zraft.protocol.responses import ErrorResult

IN_FLIGHT_MAX = 2
RETRY_SECONDS = 0.010
PATIENCE_SECONDS = 0.5
"""After this the question, or its answer, counts as lost; or after four times what it took lately, if that is more."""
PATIENCE_SECONDS_MAX = 8.0


class Read(msgspec.Struct, frozen=True):
    """A client's read, until ``deadline`` (seconds)."""

    client: Caller
    request: Request
    deadline: float


class PeerRead(msgspec.Struct, frozen=True):
    """Another member's gateway wants a read index."""

    member: int
    request: int


class AskElection(msgspec.Struct, frozen=True):
    """Ask this node's election for a round."""

    message: RoundRequest


class AskLeader(msgspec.Struct, frozen=True):
    """Ask the gateway of member ``leader`` for a read index; say ``failed`` when it can't be sent."""

    leader: int
    message: ReadIndex


class AnswerPeer(msgspec.Struct, frozen=True):
    """Answer another member's gateway."""

    member: int
    message: ReadIndexAnswer


class Serve(msgspec.Struct, frozen=True):
    """Answer these reads from a view that has applied ``index``; if there is none yet, call ``behind``."""

    index: int
    reads: tuple[Read, ...]


Effect = AskElection | AskLeader | AnswerPeer | Serve | Tell


class _Group(msgspec.Struct):
    """Reads that share a confirmation, asked of ``leader``.

    ``term`` above 0: confirmed in it, waiting for the commit index of that term.
    """

    reads: list[Read]
    peers: list[PeerRead]
    leader: int
    asked: float
    term: int = 0


class Reads:
    """The linearizable reads of gateway number ``gateway`` of member ``me``; ``now`` is in seconds.

    ``first`` is random: an answer to a question of an earlier start of this gateway matches none of this one's.
    """

    def __init__(self, me: int, gateway: int, first: int) -> None:
        self._me = me
        self._gateway = gateway
        self._reads: list[Read] = []
        self._peers: list[PeerRead] = []
        self._asked: dict[int, _Group] = {}
        self._behind: list[Serve] = []
        self._number = first
        self._retry_at = 0.0
        self._patience = PATIENCE_SECONDS

    @property
    def waiting(self) -> int:
        """Reads that can't be answered yet: their index is not known, or not applied."""
        if not self._asked and not self._behind:
            return len(self._reads)
        asked = sum(len(group.reads) for group in self._asked.values())
        return len(self._reads) + asked + sum(len(serve.reads) for serve in self._behind)

    @property
    def asked(self) -> bool:
        """Whether an answer, or a commit index, is waited for: a peer's reads may depend on it."""
        return bool(self._asked or self._peers)

    def submit(self, read: Read | PeerRead) -> None:
        """Take in a read that passed the limits."""
        if isinstance(read, Read):
            self._reads.append(read)
        else:
            self._peers.append(read)

    def by_lease(self, published: Published) -> list[Effect]:
        """Serve all that waits to be asked for, if this node leads under a valid lease (S12)."""
        if not (self._reads or self._peers):
            return []
        commit = leased_commit(published)
        if commit is None:
            return []
        reads, self._reads = self._reads, []
        peers, self._peers = self._peers, []
        return _confirmed(reads, peers, commit)

    def flush(self, role: RoleGroup | None, commit: CommitGroup | None, now: float) -> list[Effect]:
        """Ask for what waits; finish what was confirmed and now has its commit index."""
        effects: list[Effect] = []
        for number, group in list(self._asked.items()):
            fallen = role is None or role.leader != group.leader or role.term > group.term > 0
            late = not group.term and now - group.asked > self._patience
            if fallen:  # the way to the next leader is another one
                self._patience = PATIENCE_SECONDS
            elif late:  # lost, or the way is a long one
                self._patience = min(2 * self._patience, PATIENCE_SECONDS_MAX)
            if fallen or late:
                self._again(number, now)  # a read may be asked as often as it takes
            elif group.term and commit is not None and commit.term == group.term:
                effects += self._finish(number, commit, now)
        if role is None or role.leader != self._me:
            effects += self._refuse_peers()
        if not (self._reads or self._peers) or len(self._asked) >= IN_FLIGHT_MAX or now < self._retry_at:
            return effects
        if role is None or not role.leader:
            return effects
        self._number += 1
        self._asked[self._number] = _Group(self._reads, self._peers, role.leader, now)
        self._reads, self._peers = [], []
        if role.leader == self._me:
            effects.append(AskElection(RoundRequest(self._gateway, self._number)))
        else:
            effects.append(AskLeader(role.leader, ReadIndex(self._number)))
        return effects

    def on_round(self, message: RoundAnswer, commit: CommitGroup | None, now: float) -> list[Effect]:
        """Election confirmed that this node led in ``term`` after the reads arrived; 0: it did not.

        ``commit`` must have been loaded from the page after this answer came, and so after the reads arrived.
        """
        group = self._asked.get(message.request)
        if group is None:
            return []
        if not message.term:
            self._again(message.request, now)
            return []
        group.term = message.term
        if commit is None or commit.term != message.term:
            return []
        return self._finish(message.request, commit, now)

    def on_read_index(self, message: ReadIndexAnswer, now: float) -> list[Effect]:
        """The leader's gateway answered."""
        group = self._asked.get(message.request)
        if group is None:
            return []
        if message.code:
            self._again(message.request, now)
            return []
        return self._finish(message.request, CommitGroup(message.term, message.index), now)

    def failed(self, request: int, now: float) -> None:
        """The question could not be sent: ask again later, perhaps another leader."""
        self._again(request, now)

    def behind(self, serve: Serve) -> int:
        """The local state has not applied the index yet: keep the reads; returns the index to be told about."""
        self._behind.append(serve)
        return serve.index

    def on_applied(self, index: int) -> list[Serve]:
        """Everything up to ``index`` has been applied."""
        ready = [serve for serve in self._behind if serve.index <= index]
        self._behind = [serve for serve in self._behind if serve.index > index]
        return ready

    def on_trio_restarted(self, now: float) -> None:
        """Election forgot the rounds and storage the waits: reads may be asked again freely."""
        for number in list(self._asked):
            self._again(number, now)
        for serve in self._behind:
            self._reads += serve.reads
        self._behind = []

    def expire(self, now: float) -> list[Effect]:
        """Answer everybody whose time is up."""
        body = encode(ErrorResult(Unavailable.code, "no leader confirmed the read in time; serializable reads go on"))
        late = [read for read in self._reads if read.deadline <= now]
        self._reads = [read for read in self._reads if read.deadline > now]
        for number, group in list(self._asked.items()):
            late += [read for read in group.reads if read.deadline <= now]
            group.reads = [read for read in group.reads if read.deadline > now]
            if not group.reads and not group.peers:
                del self._asked[number]
        told: list[Effect] = [Tell(read.client, body) for read in late]
        waiting: list[Serve] = []
        for serve in self._behind:
            why = f"this node did not apply up to index {serve.index} in time"
            body = encode(ErrorResult(Unavailable.code, f"{why}; serializable reads go on"))
            told += [Tell(read.client, body) for read in serve.reads if read.deadline <= now]
            left = tuple(read for read in serve.reads if read.deadline > now)
            if left:
                waiting.append(Serve(serve.index, left))
        self._behind = waiting
        return told

    def _finish(self, number: int, commit: CommitGroup, now: float) -> list[Effect]:
        group = self._asked.pop(number)
        self._patience = min(max(PATIENCE_SECONDS, 4 * (now - group.asked)), PATIENCE_SECONDS_MAX)
        return _confirmed(group.reads, group.peers, commit)

    def _refuse_peers(self) -> list[Effect]:
        refused: list[Effect] = [
            AnswerPeer(peer.member, ReadIndexAnswer(peer.request, 0, 0, NotLeader.code, "this node does not lead"))
            for peer in self._peers
        ]
        self._peers = []
        return refused

    def _again(self, number: int, now: float) -> None:
        group = self._asked.pop(number, None)
        if group is None:
            return
        self._reads = group.reads + self._reads
        self._peers = group.peers + self._peers
        self._retry_at = now + RETRY_SECONDS


def _confirmed(reads: list[Read], peers: list[PeerRead], commit: CommitGroup) -> list[Effect]:
    """``commit`` is what these reads must see: tell the peers, and serve the own ones."""
    effects: list[Effect] = [
        AnswerPeer(peer.member, ReadIndexAnswer(peer.request, commit.term, commit.commit)) for peer in peers
    ]
    if reads:
        effects.append(Serve(commit.commit, tuple(reads)))
    return effects
