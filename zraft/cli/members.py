"""The members of a cluster, found from some of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from zraft.cli.connection import known_endpoints, local_endpoints
from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.client import Client
from zraft.errors import ZraftError
from zraft.protocol.responses import StatusResult


@dataclass(frozen=True)
class Member:
    """What came of asking an endpoint: a status, or an error. ``name`` is ``-`` if nobody knows it."""

    name: str
    endpoint: str
    status: StatusResult | None
    error: str = ""

    @property
    def known_name(self) -> str | None:
        """The name, if it is known."""
        return None if self.name == "-" else self.name


def members_of(endpoints: tuple[str, ...] | None, timeout: float) -> list[Member]:
    """Asks the endpoints, or those of a local cluster, and the members that they name; sorted by name.

    Raises:
        Failure: nobody answers.
    """
    is_guess = not (endpoints or local_endpoints())
    members = _ask_all(known_endpoints(endpoints), timeout)
    answers = [member.status for member in members if member.status]
    if not answers:
        reasons = "; ".join(member.error for member in members)
        raise Failure(f"no node answers: {reasons}. Start a cluster, or name its nodes with --endpoints.", UNAVAILABLE)
    nameless = [member for member in members if member.name == "-"]
    if is_guess:
        # Those that neither answer nor are known to the others are no members.
        members = [member for member in members if member not in nameless]
    if is_guess or not nameless:
        members += _unlocated(answers)
    # The order in which they were found is chance.
    return sorted(members, key=lambda member: (member.name == "-", member.name, member.endpoint))


def leader_of(members: list[Member]) -> str | None:
    """The leader of the newest term in which one is known."""
    answers = [member.status for member in members if member.status]
    newest = max(answers, key=lambda answer: (answer.leader_id != "", answer.current_term))
    return newest.leader_id or None


def _ask_all(seeds: tuple[str, ...], timeout: float) -> list[Member]:
    """Asks the seeds, and those whom they name as peers. A node with two addresses is one member."""
    asked: dict[str, StatusResult | str] = {}
    names: dict[str, str] = {}
    waiting = deque(seeds)
    with Client(seeds, timeout=timeout) as client:
        while waiting:
            endpoint = waiting.popleft()
            if endpoint in asked:
                continue
            asked[endpoint] = answer = _ask(client, endpoint)
            for peer in answer.peers if isinstance(answer, StatusResult) else ():
                if peer.client_endpoint:
                    names[peer.client_endpoint] = peer.node_id
                    waiting.append(peer.client_endpoint)
    distinct: dict[object, Member] = {}
    for endpoint, answer in asked.items():
        if isinstance(answer, StatusResult):
            member = Member(answer.node_id, endpoint, answer)
            distinct.setdefault((answer.node_id, answer.member_id), member)
        else:
            distinct[endpoint] = Member(names.get(endpoint, "-"), endpoint, None, answer)
    return list(distinct.values())


def _ask(client: Client, endpoint: str) -> StatusResult | str:
    try:
        return client.status(endpoint)
    except ZraftError as error:
        return str(error)


def _unlocated(answers: list[StatusResult]) -> list[Member]:
    """The members of whom nobody has heard yet where their clients connect."""
    located = {answer.node_id for answer in answers}
    located |= {peer.node_id for answer in answers for peer in answer.peers if peer.client_endpoint}
    missing = {peer.node_id for answer in answers for peer in answer.peers} - located
    return [Member(name, "", None, f"{name}: where its clients connect is not known yet") for name in sorted(missing)]
