"""The members of a cluster, as its leader changes them: one at a time ([D] 4.1, 4.2).

A new member is a learner first: it gets all entries, and counts nowhere. Once it has caught up and answered for a
while, the leader makes it a voter. Two configurations that follow each other differ by one member, so any majority of
the one meets any of the other. That holds only if no third is under way (S14): the leader appends a configuration only
after an entry of its own term is committed (else two leaders could each be one change ahead of what is committed, the
known bug of single-server changes), after the configuration before it is committed, and after its election actor has
said that rounds and leases count that one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from zraft.config import MEMBERS_MAX
from zraft.core.quorum import Quorum
from zraft.errors import MembershipRefused, Unavailable
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.requests import ChangeMember

READY_SECONDS = 2.0
"""So long must a learner have kept up before it becomes a voter."""


class Membership:
    """What one leader knows of the configuration in force, and when it may become another one.

    Args:
        configuration: in force when the leader was elected; its election actor counts it.
        before: the last index of an earlier term than the leader's.
    """

    def __init__(self, configuration: Configuration, before: int) -> None:
        self.configuration = configuration
        self._before = before
        self._counted = configuration.index
        self._ready_since: dict[int, float] = {}

    def appended(self, configuration: Configuration) -> None:
        """The leader appended it: it is in force from now on."""
        self.configuration = configuration
        self._ready_since.clear()

    def counted(self, index: int) -> None:
        """Election says that its rounds and leases count the configuration at ``index``."""
        self._counted = max(self._counted, index)

    def obstacle(self, commit: int) -> str:
        """Why there may be no change yet (S14); empty when there may."""
        if commit <= self._before:
            return "the leader has committed nothing in its term yet"
        if self.configuration.index > commit:
            return "the change before this one is not committed yet"
        if self.configuration.index != self._counted:
            return "the leader's rounds do not count the change before this one yet"
        return ""

    def change(
        self, change: ChangeMember, commit: int, healthy: Collection[int], ready: Collection[int]
    ) -> tuple[Member, ...]:
        """The members after the change.

        Args:
            change: what somebody wants.
            commit: the leader's commit index.
            healthy: who answered lately, the leader among them.
            ready: who has all that is committed.

        Raises:
            MembershipRefused: it means nobody, or would do harm.
            Unavailable: not now (S14).
        """
        members = _CHANGES[change.action](self.configuration, change, ready)
        voters = {member.id for member in members if member.voter}
        if voters != self.configuration.voters() and not change.force and not Quorum(voters).reached(healthy):
            answering = len(voters.intersection(healthy))
            raise MembershipRefused(
                f"of the {len(voters)} voters after this change only {answering} answer, which is no majority: bring "
                "one of the silent ones back, or remove that one first; --force does it all the same"
            )
        moved = self._moved(members) if not change.member and not change.force else set()
        if moved and len(voters) > 1 and not Quorum(voters).reached(set(healthy) - moved):
            silent = voters.difference(healthy, moved)
            way = "bring one of the silent ones back first; --force" if silent else "if it is the right one, --force"
            raise MembershipRefused(
                f"no majority of the voters would answer if {change.name} can't be reached at {change.address}: {way} "
                "does it all the same"
            )
        obstacle = self.obstacle(commit)
        if obstacle:
            raise Unavailable(f"members can't be changed now: {obstacle}; try again")
        return members

    def _moved(self, members: tuple[Member, ...]) -> set[int]:
        """The voters that get another address."""
        known = {member.id: member.address for member in self.configuration.members if member.voter}
        return {member.id for member in members if member.address != known.get(member.id, member.address)}

    def promotable(self, ready: Collection[int], healthy: Collection[int], commit: int, now: float) -> Member | None:
        """A learner that has kept up for a while, and may become a voter now."""
        voters = self.configuration.voters()
        for learner in self.configuration.members:
            if learner.voter:
                continue
            if learner.id not in ready or learner.id not in healthy:
                self._ready_since.pop(learner.id, None)
                continue
            patient = now - self._ready_since.setdefault(learner.id, now) >= READY_SECONDS
            if patient and not self.obstacle(commit) and Quorum(voters | {learner.id}).reached(healthy):
                return learner
        return None


def with_addresses(members: tuple[Member, ...], known: Mapping[str, str]) -> tuple[Member, ...]:
    """The members with an address each, for those who were never told any: ``known`` has them by name."""
    return tuple(replace(member, address=member.address or known.get(member.name, "")) for member in members)


def promoted(configuration: Configuration, learner: Member) -> tuple[Member, ...]:
    """The members once that learner votes."""
    return tuple(replace(member, voter=member.voter or member == learner) for member in configuration.members)


def _add(now: Configuration, change: ChangeMember, ready: Collection[int]) -> tuple[Member, ...]:
    """A member that is there already is told its (perhaps new) address."""
    known = now.named(change.name)
    if known is None and (other := now.member(change.member)) is not None:
        raise MembershipRefused(f"{change.name} has the data of {other.name}: a directory belongs to one name for life")
    if known is None and not change.member:
        raise MembershipRefused(
            f"{change.name} has not announced itself: start it with zraft node --id {change.name} --join HOST:PORT"
        )
    if known is not None and change.member not in (0, known.id):
        raise MembershipRefused(
            f"{change.name} is known as member {known.id:016x}, and this is {change.member:016x}, with a new or wiped "
            f"data directory. Unless the old one comes back, run: zraft member remove {change.name}"
        )
    if known is not None:
        # Members that have changed places on the network announce themselves one behind the other, and are believed.
        others = (one for one in now.members if one != known and change.address == one.address != "")
        if (other := next(others, None)) is not None and not change.member and change.address != known.address:
            raise MembershipRefused(f"{change.address} is the address of {other.name}: {change.name} has another one")
        moved = replace(known, address=change.address or known.address)
        return tuple(moved if member == known else member for member in now.members)
    if len(now.members) >= MEMBERS_MAX:
        raise MembershipRefused(f"a cluster has up to {MEMBERS_MAX} members: remove one first")
    new = Member(change.member, change.name, voter=False, address=change.address)
    return tuple(sorted((*now.members, new), key=lambda member: member.name))


def _promote(now: Configuration, change: ChangeMember, ready: Collection[int]) -> tuple[Member, ...]:
    learner = _known(now, change.name)
    if not learner.voter and learner.id not in ready and not change.force:
        raise MembershipRefused(f"{change.name} has not caught up: it is promoted by itself when it has")
    return promoted(now, learner)


def _remove(now: Configuration, change: ChangeMember, ready: Collection[int]) -> tuple[Member, ...]:
    leaving = _known(now, change.name)
    if leaving.voter and len(now.voters()) == 1:
        raise MembershipRefused(f"{change.name} is the only voter: add another member first")
    return tuple(member for member in now.members if member != leaving)


def _known(now: Configuration, name: str) -> Member:
    member = now.named(name)
    if member is None:
        members = ", ".join(one.name for one in now.members)
        raise MembershipRefused(f"there is no member {name}: the members are {members}")
    return member


_CHANGES = {"add": _add, "promote": _promote, "remove": _remove}
