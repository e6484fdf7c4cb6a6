"""One term of one leader: its entries, what it knows of each storage, and who counts."""

from __future__ import annotations

import math

from zraft.core.audit import Audit
from zraft.core.membership import Membership
from zraft.core.progress import Mode, Progress
from zraft.core.quorum import Quorum
from zraft.core.streaming import SnapshotStream
from zraft.core.tail import Tail
from zraft.core.versions import Versions
from zraft.protocol.codec import encode
from zraft.protocol.entries import NO_ORIGIN, Configuration, EntryKind, Member, Origin, encode_entry
from zraft.protocol.local import HandOver, Keep, Lead, Ready
from zraft.protocol.peer import AppendAnswer

HEALTHY_SECONDS = 3.0
"""A storage that has not answered for so long is not counted on when members are changed."""
READY_LAG_SECONDS = 0.5
"""A storage that has all that was committed so long ago keeps up; it never has all of now while writes go on."""
KEEP_SECONDS = 2.0
"""While a snapshot is on its way, the own storage is reminded so often to keep the entries behind it."""
LEAVE_SECONDS = 10.0
"""So long is a removed member fed on, so that it hears of its removal."""


class Leadership:
    """All that replication knows while it leads one term."""

    def __init__(self, me: int, lead: Lead, window: tuple[int, int], supported: int) -> None:
        self._me = me
        self._window = window
        self.term = lead.term
        self.before = lead.last.index  # entries behind it are of our term
        self.membership = Membership(lead.configuration, lead.last.index)
        self.quorum = Quorum(lead.configuration.voters())
        self.tail = Tail(lead.last)
        self.audit = Audit()
        self.versions = Versions(supported)
        self.commit = 0
        self.uncommitted_bytes = 0
        self.uncommitted: dict[int, tuple[int, int]] = {}  # by index: bytes, and the member whose gateway proposed it
        self._keep_due = 0.0
        self._committed = lead.last.index, -math.inf  # a commit index of a while ago, and since when it is one
        self.hand_over: HandOver | None = None
        self.ready_told = False
        members = {member.id for member in lead.configuration.members}
        self.progress = {member: Progress(member, lead.last.index, window) for member in members | {me}}
        # Whom a configuration left out is fed until then all the same; the leader itself as long as it leads.
        self.leaving: dict[int, float] = {} if me in members else {me: math.inf}

    def append(self, kind: EntryKind, origin: Origin = NO_ORIGIN, payload: bytes = b"") -> None:
        """The next entry of the term."""
        index = self.tail.last + 1
        data = encode_entry(index, self.term, kind, origin, payload)
        self.tail.append(data)
        self.uncommitted[index] = len(data), origin.member
        self.uncommitted_bytes += len(data)

    def configure(self, members: tuple[Member, ...], now: float, origin: Origin = NO_ORIGIN) -> Configuration:
        """Append a configuration; it is in force from now on ([D] 4.1)."""
        self.append(EntryKind.CONFIGURATION, origin, encode(members))
        configuration = Configuration(self.tail.last, members)
        self.membership.appended(configuration)
        self.quorum = Quorum(configuration.voters())
        staying = {member.id for member in members}
        for member in staying:
            self.leaving.pop(member, None)
            if member not in self.progress:
                self.progress[member] = Progress(member, self.tail.last, self._window)
        for member in self.progress.keys() - staying:
            self.leaving.setdefault(member, math.inf if member == self._me else now + LEAVE_SECONDS)
        return configuration

    def hear_version(self, member: int, answer: AppendAnswer) -> None:
        """What a storage told of versions: up to which one its code goes, and at which one its state is."""
        self.versions.announced(member, answer.version)
        if member == self._me:
            self.versions.raised(answer.cluster_version)

    def raise_version(self, now: float) -> None:
        """Append the entry that raises the cluster version, once every member is up and knows the new one.

        Not before an entry of the term is committed: until then nobody can tell at which version the cluster is.
        """
        members = {member.id for member in self.membership.configuration.members} | {self._me}
        version = self.versions.due(members)
        if version and self.commit > self.before and members <= self.healthy(now):
            self.append(EntryKind.CLUSTER_VERSION, payload=encode(version))
            self.versions.raised(version)

    def may_feed(self, progress: Progress) -> bool:
        """Whether an Append may leave for a storage now: a probe, or what it lacks and knows the meaning of."""
        if progress.mode is Mode.PROBE:
            return progress.may_send()
        lacks = progress.next <= self.tail.last and not self.versions.is_left_behind(progress.member)
        return lacks and progress.may_send()

    def keeps(self, now: float) -> Keep | None:
        """What the own storage is reminded to keep now: the entries behind the snapshots that are on their way."""
        streams = self.streams()
        if not streams or now < self._keep_due:
            return None
        self._keep_due = now + KEEP_SECONDS
        return Keep(self.term, min(stream.snapshot.index for stream in streams))

    def let_go(self, now: float) -> None:
        """Feed those no longer who know by now that they were removed, or can't be reached."""
        removal = self.membership.configuration.index
        for member, end in list(self.leaving.items()):
            if now >= end or (end < math.inf and self.progress[member].commit >= removal):
                del self.leaving[member], self.progress[member]

    def takes_over(self) -> Ready | None:
        """Who may take over, once: the first candidate that has every entry ([D] 3.10)."""
        order = self.hand_over
        if order is None or self.ready_told:
            return None
        fed = [one for one in order.candidates if one in self.progress]
        matching = [one for one in fed if self.progress[one].match == self.tail.last]
        if not matching:
            return None
        self.ready_told = True
        return Ready(order.term, order.number, matching[0])

    def is_left(self) -> bool:
        """Whether a committed configuration goes on without this leader ([D] 4.2.2)."""
        return self._me in self.leaving and self.membership.configuration.index <= self.commit

    def trim(self, bytes_max: int) -> None:
        """Keep no entry in memory that nobody lacks; and not more than so many bytes of what the own log has."""
        least = min([progress.match for progress in self.progress.values()])
        if least > self.tail.base.index or self.tail.bytes > bytes_max:
            self.tail.cut(least + 1, self.progress[self._me].match + 1, bytes_max)

    def next_deadline(self) -> float:
        """When a piece of a snapshot, or a commit index by itself, is due next; infinite while none is."""
        due = math.inf
        for progress in self.progress.values():  # in every turn: no generators
            stream = progress.stream
            due = min(due, progress.commit_deadline(self.commit) if stream is None else stream.deadline())
        return due

    def streams(self) -> list[SnapshotStream]:
        """The snapshots that are on their way."""
        return [progress.stream for progress in self.progress.values() if progress.stream is not None]

    def healthy(self, now: float, lately: float = HEALTHY_SECONDS) -> set[int]:
        """Whose storage answered within the last so many seconds."""
        answered = {member for member, progress in self.progress.items() if now - progress.heard <= lately}
        return answered | {self._me}

    def ready(self, now: float) -> set[int]:
        """Whose storage keeps up with what is committed."""
        committed, since = self._committed
        if now - since >= READY_LAG_SECONDS:
            self._committed = max(self.commit, self.before), now
        return {
            member
            for member, progress in self.progress.items()
            if progress.mode is Mode.REPLICATE and progress.match >= committed
        }
