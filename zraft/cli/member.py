"""``zraft member``: who belongs to the cluster, and who is to."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from zraft.cli.connection import connect, connection_options
from zraft.cli.manual import ManualGroup
from zraft.cli.members import Member, leader_of, members_of
from zraft.cli.numbers import NumberRange
from zraft.cli.outcomes import REJECTED, UNAVAILABLE, UNKNOWN, Failure
from zraft.cli.output import output_option, tell
from zraft.cli.tables import table
from zraft.client import Client
from zraft.core.limits import fault_of
from zraft.errors import InvalidArgument, NotExecuted
from zraft.protocol.requests import ChangeMember
from zraft.protocol.responses import MemberInfo, MembersResult

HEAD = ("NAME", "MEMBER ID", "PEER ADDRESS", "ROLE", "HEALTH", "LAG")
POLL_S = 0.2

_FIELDS = "index, and members with name, member_id, peer_address, role"
_output = output_option(f"{_FIELDS}, after the change", table="what was done, in a sentence")
_ends = (UNAVAILABLE, UNKNOWN, REJECTED)
_force = click.option("--force", is_flag=True, help="Even if no majority of the voters answers afterwards.")
_within = click.option(
    "--within",
    type=NumberRange(min=0, max=86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the new node to be started, and to catch up.",
)


@click.group(cls=ManualGroup)
def member() -> None:
    """List the members of the cluster, and change them.

    They change by one at a time, while the cluster serves. A new node adds itself: `zraft node --id NAME --join
    HOST:PORT,...`. It is a learner first, which counts nowhere, and becomes a voter by itself when it has caught up.
    """


@member.command("list", examples=["zraft member list", "zraft member list --output json"], ends=(UNAVAILABLE,))
@output_option(f"{_FIELDS}, health and lag")
@connection_options
def list_members(output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Show the members, and whether each answers.

    ROLE is voter or learner, LAG is how many log entries one is behind the leader. The members are those that the
    leader knows; if it does not answer, the newest that any of the others knows, and stderr says so.
    """
    found = members_of(endpoints, timeout)
    known = _newest_members(found, timeout)
    asked = {one.name: one for one in found}
    lags = _lags(found)
    members = [_document(one) | _found(asked.get(one.name), lags.get(one.name)) for one in known.members]
    rows = [tuple("-" if cell is None else cell for cell in one.values()) for one in members]
    tell(output, table([HEAD, *rows]), {"index": known.index, "members": members})


@member.command(
    examples=["zraft member add node-4 10.0.0.4:7080 # returns when node-4 has announced itself"], ends=_ends
)
@click.argument("name")
@click.argument("address", metavar="HOST:PEERPORT")
@_within
@_force
@_output
@connection_options
def add(
    name: str,
    address: str,
    within: float,
    force: bool,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Wait for the node NAME to join, and note its address.

    A node announces itself: see --join of `zraft node`. For one that is a member already, it changes the address: not
    to that of another member; and as it may be a wrong one, that of a voter only with --force, if no majority of the
    voters would answer without it (of two, always).
    """
    _require_valid(name, address)
    with connect(endpoints, timeout) as client:
        before = _wait(client, name, within, lambda found: found is not None, "has not announced itself")
        result = client.add_member(name, address, force=force)
    was = before.peer_address if before else ""
    moved = f"; its address is {address}, and was {was}" if was not in {"", address} else ""
    _tell(output, f"{_role(result, name)}{moved}", result)


@member.command(examples=["zraft member promote node-4"], ends=_ends)
@click.argument("name")
@_force
@_output
@connection_options
def promote(name: str, force: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Make the learner NAME a voter now. It becomes one by itself when it has caught up and answered for a while."""
    with connect(endpoints, timeout) as client:
        result = client.promote_member(name, force=force)
    _tell(output, _role(result, name), result)


@member.command(examples=["zraft member remove node-2"], ends=_ends)
@click.argument("name")
@_force
@_output
@connection_options
def remove(name: str, force: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Remove the member NAME. Its data is of no use to the cluster any more: the node can be stopped."""
    with connect(endpoints, timeout) as client:
        result = client.remove_member(name, force=force)
    _tell(output, f"{name} is no member any more", result)


@member.command(
    examples=["zraft member replace node-2 node-4 10.0.0.4:7080 # while node-4 is started with --join"], ends=_ends
)
@click.argument("old")
@click.argument("new")
@click.argument("address", metavar="HOST:PEERPORT")
@_within
@_force
@_output
@connection_options
def replace(
    old: str,
    new: str,
    address: str,
    within: float,
    force: bool,
    output: str,
    endpoints: tuple[str, ...] | None,
    timeout: float,
) -> None:
    """Let the node NEW take the place of OLD.

    It waits until NEW has joined and become a voter, then removes OLD. It may be repeated at any point. Where OLD is
    the dead one of three, the other two and NEW stay a majority all the time.
    """
    if old == new:
        raise click.UsageError(
            f"a node that has lost its disk and keeps its name takes its own place: run zraft member remove {old}, and "
            "it joins by itself, if it was started with --join"
        )
    _require_valid(new, address)
    with connect(endpoints, timeout) as client:
        deadline = time.monotonic() + within
        known = {one.name: one.voter for one in client.members().members}
        if old not in known and not known.get(new):  # else it was removed when this ran before
            raise Failure(f"there is no member {old}: the members are {', '.join(sorted(known))}", REJECTED)
        _wait(client, new, within, lambda found: found is not None, "has not announced itself")
        client.add_member(new, address)
        left = max(0.0, deadline - time.monotonic())
        _wait(client, new, left, lambda found: found is not None and found.voter, "has not caught up")
        result = client.members()
        if any(one.name == old for one in result.members):
            result = client.remove_member(old, force=force)
    _tell(output, f"{new} has taken the place of {old}", result)


def _newest_members(asked: list[Member], timeout: float) -> MembersResult:
    """What the leader knows of the members: others may be cut off. Without it, what the best of them knows.

    Raises:
        NotExecuted: nobody tells them.
    """
    leader = leader_of(asked)
    told: list[MembersResult] = []
    failure: NotExecuted | None = None
    for one in sorted((one for one in asked if one.status), key=lambda one: one.name != leader):
        try:
            with Client((one.endpoint,), timeout=timeout, learn_members=False) as client:
                told.append(client.members())
        except NotExecuted as error:
            failure = error
            continue
        if one.name == leader:
            return told[0]
    if failure and not told:
        raise failure
    click.echo("zraft: no leader answers: these are the newest members that any of the others knows", err=True)
    return max(told, key=lambda members: members.index)


def _require_valid(name: str, address: str) -> None:
    """Before anybody waits for a node of that name.

    Raises:
        InvalidArgument: there can be no such member, at least not there.
    """
    fault = fault_of(ChangeMember("add", name, address=address))
    if fault:
        raise InvalidArgument(fault)


def _wait(
    client: Client, name: str, within: float, is_met: Callable[[MemberInfo | None], bool], lacking: str
) -> MemberInfo | None:
    deadline = time.monotonic() + within
    while not is_met(found := next((one for one in client.members().members if one.name == name), None)):
        if time.monotonic() >= deadline:
            join = f"start it with: zraft node --id {name} --join {','.join(client.endpoints)}"
            raise Failure(f"{name} {lacking} within {within:g} s; {join}", UNAVAILABLE)
        time.sleep(POLL_S)
    return found


def _tell(output: str, text: str, result: MembersResult) -> None:
    tell(output, text, {"index": result.index, "members": [_document(one) for one in result.members]})


def _role(result: MembersResult, name: str) -> str:
    found = next(one for one in result.members if one.name == name)
    return f"{name} is a {'voter' if found.voter else 'learner'}"


def _lags(members: list[Member]) -> dict[str, int]:
    """How many entries each member that answers is behind the leader, as far as that is known."""
    statuses = {one.name: one.status for one in members if one.status}
    leader = statuses.get(leader_of(members) or "")
    if leader is None:
        return {}
    return {name: max(0, leader.last_log_index - status.last_applied) for name, status in statuses.items()}


def _document(one: MemberInfo) -> dict[str, object]:
    return {
        "name": one.name,
        "member_id": f"{one.member:016x}",
        "peer_address": one.peer_address or None,
        "role": "voter" if one.voter else "learner",
    }


def _found(asked: Member | None, lag: int | None) -> dict[str, object]:
    """What asking a member adds to what the cluster knows of it."""
    return {"health": "answers" if asked and asked.status else "silent", "lag": lag}
