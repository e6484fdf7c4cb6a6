"""What a gateway reads from the page, decoded only when it has changed."""

from __future__ import annotations

from typing import TypeVar

from zraft.actors.clock import clock
from zraft.protocol import codec
from zraft.protocol.local import CommitGroup, IdentityGroup, LeaseGroup, RoleGroup, StorageGroup
from zraft.store.page import Group, Page

T = TypeVar("T")


class _Cached:
    """One group: how often it had been published, its bytes, and what they meant."""

    __slots__ = ("bytes", "sequence", "value")

    def __init__(self) -> None:
        self.sequence = -1
        self.bytes: bytes | None = None
        self.value: object = None


class Hints:
    """The page as a gateway uses it: hints, but for the lease and the commit group, which are exact for their term."""

    _role: RoleGroup | None = None
    _identity: IdentityGroup | None = None
    _incarnation = 0
    _storage: StorageGroup | None = None

    def __init__(self, page: Page) -> None:
        self._page = page
        self._cached = {group: _Cached() for group in Group}

    def refresh(self) -> None:
        """Look at the groups that this turn will use."""
        self._role = self._load(Group.ROLE, codec.role_group)
        self._identity = self._load(Group.IDENTITY, codec.identity_group) or self._identity
        node = self._load(Group.NODE, codec.node_group)
        self._incarnation = node.incarnation if node else 0
        self._storage = self._load(Group.STORAGE, codec.storage_group)

    def role(self) -> RoleGroup | None:
        """Who leads, as far as election knows."""
        return self._role

    def term(self, told: int) -> int:
        """The highest term that this node knows of; looked up anew for who was ``told`` of a higher one."""
        if told > self._term():
            self.refresh()
        return self._term()

    def identity(self) -> IdentityGroup | None:
        """Who this node is; once known it stays."""
        return self._identity

    def incarnation(self) -> int:
        """Of the trio; 0: it is not running."""
        return self._incarnation

    def generation(self) -> int | None:
        """Of the applied state; None while no storage has it open."""
        return self._storage.generation if self._storage else None

    def storage(self) -> StorageGroup | None:
        """How far storage has come; None while none runs."""
        return self._storage

    def space(self) -> int:
        """How much room storage has (see ``store.space``)."""
        return self._storage.space if self._storage else 0

    def commit(self) -> CommitGroup | None:
        """Loaded anew at each call: a read index must be younger than the read (S10)."""
        return self._load(Group.COMMIT, codec.commit_group)

    def lease(self) -> LeaseGroup | None:
        """Loaded anew at each call: reads look at it after they have arrived (S12)."""
        return self._load(Group.LEASE, codec.lease_group)

    def now(self) -> float:
        """Seconds, as of this call: a time that was kept from before could make a lease last longer (S12)."""
        return clock()

    def notice(self) -> str:
        """Why the node is not ready, in words."""
        return self._page.words(Group.NOTICE)

    def _term(self) -> int:
        return max(self._role.term if self._role else 0, self._storage.term if self._storage else 0)

    def _load(self, group: Group, channel: codec.Channel[T]) -> T | None:
        cached = self._cached[group]
        sequence = self._page.sequence(group)
        if sequence != cached.sequence:
            # Asked for first: what is loaded is of that publication, or of a newer one, which then is loaded again.
            cached.sequence = sequence
            data = self._page.load(group)
            if data != cached.bytes:
                cached.bytes = data
                cached.value = None if data is None else channel.decode(data)
        return cached.value  # type: ignore[return-value]  # of this group's channel
