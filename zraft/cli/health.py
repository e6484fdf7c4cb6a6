"""``zraft health``: whether the cluster serves, and each of its nodes."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import click

from zraft.cli.connection import connection_options
from zraft.cli.manual import Manual
from zraft.cli.members import Member, members_of
from zraft.cli.outcomes import UNAVAILABLE, UNWELL, Failure
from zraft.cli.output import output_option, tell
from zraft.cli.tables import table
from zraft.client.core import Core
from zraft.client.links import Link
from zraft.errors import ZraftError
from zraft.protocol.requests import Get
from zraft.protocol.responses import GetResult

HEAD = ("NODE", "ENDPOINT", "SERVES", "TOOK MS", "REASON")
PROBE = b"zraft"
"""Any key: whether it exists does not matter."""


@dataclass(frozen=True)
class Health:
    """Whether a member serves linearizable requests, how long one took, and why not, or what it complains of."""

    member: Member
    serves: bool
    took_ms: float
    reason: str

    @property
    def well(self) -> bool:
        """Whether it serves and complains of nothing."""
        return self.serves and not self.reason


@click.command(
    cls=Manual,
    examples=[
        "zraft health",
        "zraft health --timeout 1 || alert # the cluster does not serve",
        "zraft health --all || alert # or one of its members is not well",
        "zraft health --output json | jq '.members[] | select(.serves | not)'",
    ],
    ends=(UNAVAILABLE, UNWELL),
)
@click.option("--all", "every", is_flag=True, help="End with 7 unless each member serves and complains of nothing.")
@output_option(
    "serves, well (all of them), and members with name (null: not known; node_id, which 0.1.0 told, is the same), "
    "endpoint, serves, took_ms and reason"
)
@connection_options
def health(every: bool, output: str, endpoints: tuple[str, ...] | None, timeout: float) -> None:
    """Ask each member whether it serves, and say why not.

    It is asked for a linearizable read, which is served only if a leader with a majority is behind it. The cluster
    serves if any member does, and then the exit code is 0: clients find those members by themselves. With --all each
    member must be well. A load balancer or an orchestrator that asks for one node uses /health/ready on its HTTP port.
    """
    members = members_of(endpoints, timeout)
    link = Link()
    try:
        with ThreadPoolExecutor(len(members)) as pool:
            found = list(pool.map(lambda member: probe(link, member, timeout), members))
    finally:
        link.close()
    serves = any(one.serves for one in found)
    unwell = "; ".join(_complaint(one) for one in found if not one.well)
    text = table([HEAD, *map(_row, found)]) + (f"\nNot well: {unwell}" if unwell else "")
    tell(output, text, {"serves": serves, "well": not unwell, "members": [_document(one) for one in found]})
    if not serves:
        raise Failure("no member serves: a majority of them must be up and reach each other", UNAVAILABLE)
    if every and unwell:
        raise Failure("the cluster serves, but not all of its members are well", UNWELL)


def probe(link: Link, member: Member, timeout: float) -> Health:
    """Ask one member for a linearizable read; one that was silent before is not asked again."""
    if member.status is None:
        return Health(member, False, 0.0, member.error)
    began = time.monotonic()
    core = Core((member.endpoint,), random.random, learns=False)  # this member is meant
    reason = member.status.notice
    try:
        link.run(core.call(Get(PROBE), GetResult, began, timeout, only=member.endpoint))
        serves = True
    except ZraftError as error:
        serves, reason = False, reason or str(error)
    return Health(member, serves, round((time.monotonic() - began) * 1000, 1), reason)


def _document(one: Health) -> dict[str, object]:
    member = one.member
    names = {"name": member.known_name, "node_id": member.name, "endpoint": member.endpoint}
    return {**names, "serves": one.serves, "took_ms": one.took_ms, "reason": one.reason}


def _complaint(one: Health) -> str:
    """Who is not well, and why."""
    name = one.member.endpoint if one.member.name == "-" else one.member.name
    if not one.member.endpoint:  # as of one that has only just started; the reason has its name
        return f"could not ask {one.reason}"
    return f"{name} {'serves, but complains' if one.serves else 'does not serve'} ({one.reason})"


def _row(one: Health) -> tuple[object, ...]:
    took = one.took_ms if one.member.status else "-"
    return (one.member.name, one.member.endpoint or "-", "yes" if one.serves else "no", took, one.reason)
