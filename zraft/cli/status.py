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
from zraft.client.arguments import endpoints_of
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
def status(output: str, endpoints: str | None, timeout: float) -> None:
    """Show all members of the cluster: state, term, leader, and how far each has come."""
    known = endpoints or local_endpoints()
    seeds = endpoints_of(known or LOCAL_ENDPOINTS)
    members = _ask_all(seeds, timeout)
    answers = [member.status for member in members if member.status]
    if not answers:
        reasons = "; ".join(member.error for member in members)
        raise Failure(f"no node answers: {reasons}. Start a cluster, or name its nodes with --endpoints.", UNAVAILABLE)
    names = {peer.client_endpoint: peer.node_id for answer in answers for peer in answer.peers}
    if known is None:
        # The seeds were a guess: those that neither answer nor are known to the others are no members.
        members = [member for member in members if member.status or member.endpoint in names]
    if output == "json":
        click.echo(json.dumps(_document(members, _leader(answers)), indent=2, ensure_ascii=False))
    else:
        click.echo(table([_HEAD, *(_row(member, names) for member in members)]))


def _ask_all(seeds: tuple[str, ...], timeout: float) -> list[_Member]:
    """Asks the seeds, and those whom they name as peers; a node with two addresses is one member."""
    found: dict[str, _Member] = {}
    seen: set[tuple[str, str]] = set()
    waiting = deque(seeds)
    with Client(seeds, timeout=timeout) as client:
        while waiting:
            endpoint = waiting.popleft()
            if endpoint in found:
                continue
            found[endpoint] = member = _ask(client, endpoint)
            if member.status is not None:
                identity = member.status.node_id, member.status.member_id
                if identity in seen:
                    del found[endpoint]
                seen.add(identity)
                waiting += [peer.client_endpoint for peer in member.status.peers if peer.client_endpoint]
    return list(found.values())
