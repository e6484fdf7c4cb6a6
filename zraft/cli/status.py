"""``zraft status``: what every member tells of itself."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

import click

from zraft.cli.connection import connection_options, local_endpoints
from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.cli.tables import table
from zraft.client import Client
from zraft.client.client import LOCAL_ENDPOINTS
from zraft.errors import ZraftError
from zraft.protocol.client import StatusResult


@dataclass(frozen=True)
class _Member:
    """What came of asking an endpoint: a status, or an error."""

    endpoint: str
    status: StatusResult | None
    error: str = ""


@click.command()
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@connection_options
def status(output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Show all members of the cluster: state, term, leader, and how far each has come."""
    known = endpoints or local_endpoints()
    seeds = known or LOCAL_ENDPOINTS
    members = _ask_all(seeds, timeout)
    answers = [member.status for member in members if member.status]
    if not answers:
        reasons = "; ".join(member.error for member in members)
        raise Failure(f"no node answers: {reasons}. Start a cluster, or name its nodes with --endpoints.", UNAVAILABLE)
    names = {peer.client_endpoint: peer.node_id for answer in answers for peer in answer.peers if peer.client_endpoint}
    nameless = [member for member in members if not member.status and member.endpoint not in names]
    if known is None:
        # The seeds were a guess: those that neither answer nor are known to the others are no members.
        members = [member for member in members if member not in nameless]
    if known is None or not nameless:
        members += _unlocated(answers)
    if output == "json":
        click.echo(json.dumps(_document(members, _leader(answers)), indent=2, ensure_ascii=False))
    else:
        click.echo(table([_HEAD, *(_row(member, names) for member in members)]))


def _ask_all(seeds: tuple[str, ...], timeout: float) -> list[_Member]:
    """Asks the seeds, and those whom they name as peers. A node with two addresses is one member."""
    asked: dict[str, _Member] = {}
    waiting = deque(seeds)
    with Client(seeds, timeout=timeout) as client:
        while waiting:
            endpoint = waiting.popleft()
            if endpoint not in asked:
                asked[endpoint] = member = _ask(client, endpoint)
                peers = member.status.peers if member.status else ()
                waiting += [peer.client_endpoint for peer in peers if peer.client_endpoint]
    distinct: dict[object, _Member] = {}
    for endpoint, member in asked.items():
        identity = (member.status.node_id, member.status.member_id) if member.status else endpoint
        distinct.setdefault(identity, member)
    return list(distinct.values())


def _unlocated(answers: list[StatusResult]) -> list[_Member]:
    """The members of whom nobody has heard yet where their clients connect."""
    located = {answer.node_id for answer in answers}
    located |= {peer.node_id for answer in answers for peer in answer.peers if peer.client_endpoint}
    missing = {peer.node_id for answer in answers for peer in answer.peers} - located
    return [_Member("", None, f"{name}: where its clients connect is not known yet") for name in sorted(missing)]


def _ask(client: Client, endpoint: str) -> _Member:
    try:
        return _Member(endpoint, client.status(endpoint))
    except ZraftError as error:
        return _Member(endpoint, None, str(error))


def _leader(answers: list[StatusResult]) -> str | None:
    """The leader of the newest term in which one is known."""
    newest = max(answers, key=lambda answer: (answer.leader_id != "", answer.current_term))
    return newest.leader_id or None


def _document(members: list[_Member], leader: str | None) -> dict[str, object]:
    from zraft.actors.status import named_fields  # of the node, which runs on Linux only

    return {
        "members": [
            named_fields(member.status) if member.status else {"endpoint": member.endpoint, "error": member.error}
            for member in members
        ],
        "leader_id": leader,
    }


_HEAD = ("NODE", "ENDPOINT", "STATE", "TERM", "LEADER", "COMMIT", "APPLIED", "REVISION", "NOTICE")


def _row(member: _Member, names: dict[str, str]) -> tuple[object, ...]:
    status = member.status
    if status is None:
        return (
            names.get(member.endpoint) or "-",
            member.endpoint or "-",
            "silent",
            "-",
            "-",
            "-",
            "-",
            "-",
            member.error,
        )
    numbers = (status.commit_index, status.last_applied, status.revision)
    leader = status.leader_id or "-"
    return (status.node_id, member.endpoint, status.state, status.current_term, leader, *numbers, status.notice)
