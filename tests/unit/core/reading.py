"""Reads, and what others say to them, for the tests of their core."""

import pytest

from zraft.core.admission import Caller
from zraft.core.proposals import Tell
from zraft.core.reads import (
    AnswerPeer,
    AskElection,
    AskLeader,
    Effect,
    PeerRead,
    Read,
    Reads,
)
from zraft.errors import NotLeader, Unavailable
from zraft.protocol.codec import response
from zraft.protocol.local import CommitGroup, RoleGroup, RoundAnswer, RoundRequest
from zraft.protocol.peer import ReadIndex, ReadIndexAnswer
from zraft.protocol.requests import Get
from zraft.protocol.responses import ErrorResult

ME, B, C = 1, 2, 3
GATEWAY, FIRST = 4, 100
LEADING = RoleGroup(5, "leader", ME)
FOLLOWING = RoleGroup(5, "follower", B)
COMMIT = CommitGroup(5, 9)


def read(name: str, deadline: float = 10.0) -> Read:
    return Read(Caller(b"client", name.encode(), 1), Get(name.encode()), deadline)


def ask_election(number: int) -> AskElection:
    return AskElection(RoundRequest(GATEWAY, FIRST + number))


def ask_leader(number: int, leader: int = B) -> AskLeader:
    return AskLeader(leader, ReadIndex(FIRST + number))


def round_answer(number: int, term: int) -> RoundAnswer:
    return RoundAnswer(FIRST + number, term)


def index_answer(number: int, term: int, index: int, code: str = "") -> ReadIndexAnswer:
    return ReadIndexAnswer(FIRST + number, term, index, code)


def refused(peer: PeerRead) -> AnswerPeer:
    return AnswerPeer(peer.member, ReadIndexAnswer(peer.request, 0, 0, NotLeader.code, "this node does not lead"))


def names_told_unavailable(effects: list[Effect]) -> list[str]:
    names = []
    for tell in effects:
        assert isinstance(tell, Tell)
        error = response.decode(tell.body)
        assert isinstance(error, ErrorResult)
        assert error.code == Unavailable.code
        names.append(tell.client.request.decode())
    return names


@pytest.fixture
def reads() -> Reads:
    return Reads(ME, GATEWAY, FIRST)
