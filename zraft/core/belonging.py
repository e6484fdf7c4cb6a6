"""What an election actor knows of the members, and of its own place among them, while it does not lead.

It comes from storage, which says so whenever the configuration in its log changes, or is committed (``Told``). A leader
counts what its replication tells it (S14).
"""

from __future__ import annotations

from zraft.core.acceptor import Acceptor
from zraft.core.effects import Notice
from zraft.protocol.entries import Configuration
from zraft.protocol.local import StorageStatus


class Told:
    """What storage has told of the members: all that its acceptor knows when this is made, and the ``news`` since."""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._told = self._in_force()

    def news(self) -> StorageStatus | None:
        """What election must hear: a configuration was appended, committed or truncated. The log is durable."""
        now = self._in_force()
        if now == self._told:
            return None
        self._told = now
        return self._acceptor.status()

    def _in_force(self) -> tuple[Configuration, bool]:
        configuration = self._acceptor.configuration()
        return configuration, configuration.index <= self._acceptor.commit


class Belonging:
    """The configuration in force, as far as it was heard of. ``may_campaign``: see ``Acceptor``."""

    def __init__(self, me: int, status: StorageStatus) -> None:
        self._me = me
        self._status = status  # what storage told last
        self.configuration = status.configuration
        self.may_campaign = status.may_campaign
        self._committed = 0  # index of the configuration if it is known to be committed
        self._out = 0  # index of the committed configuration that this node was seen not to be in

    def learn(self, status: StorageStatus, leads: bool) -> list[Notice]:
        """Storage told what it has. While this node ``leads``, that counts only once it leads no more."""
        self._status = status
        return [] if leads else self.catch_up()  # a leader counts what its replication says (S14)

    def catch_up(self) -> list[Notice]:
        """Take over what storage told last; tells people when a committed configuration goes on without this node."""
        status = self._status
        self.may_campaign = status.may_campaign
        configuration = self.configuration = status.configuration
        is_committed = configuration.index <= status.commit
        self._committed = configuration.index if is_committed else 0
        before = self._out
        self._out = self._committed if configuration.member(self._me) is None else 0
        if self._out == before:
            return []
        return [no_member(self._out, "") if self._out else Notice("")]

    def removed(self, candidate: int, last: int) -> int:
        """Index of a committed configuration behind ``last``, the end of the candidate's log, without it; 0: none.

        One that goes further may know of a later configuration, which has the candidate.
        """
        index = self._committed
        is_out = last < index == self.configuration.index and self.configuration.member(candidate) is None
        return index if is_out else 0


def no_member(index: int, by: str) -> Notice:
    """What people are told of a node that the configuration at ``index`` does not have; ``by``: who says so."""
    source = f", says {by}" if by else ""
    return Notice(
        f"this node is not in the configuration of log index {index}{source}: it was removed from the cluster, or is "
        "catching up after it joined. A removed one can be stopped; with an empty data directory it may join anew"
    )
