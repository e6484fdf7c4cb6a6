"""Whether all replicas hold the same: their digests of the state, compared at the same index of the log.

Each storage notes the digest of its state at every ``CHECKPOINT_ENTRIES``-th entry, and tells the newest one with its
answers to Appends. Of one index there is one right digest, whatever the term: only committed entries are applied. So a
leader may compare whatever two members say of the same index, and nothing else.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from zraft.core.quorum import Quorum
from zraft.protocol.peer import NO_CHECKPOINT, Checkpoint

CHECKPOINT_ENTRIES = 256
"""So far apart are the indexes at which replicas are compared."""
INDEXES_MAX = 64
"""Of so many indexes, the newest, a leader remembers what it was told."""


class Divergence(msgspec.Struct, frozen=True):
    """Replicas differ at ``index``.

    ``digests``: what each member said, by member. ``majority``: the digest on which a majority of the voters agrees;
    None: there is none, and nobody can tell who is right. ``members``: who differs from it; all, if there is none.
    """

    index: int
    digests: tuple[tuple[int, int], ...]
    majority: int | None
    members: tuple[int, ...]


class Verdict(msgspec.Struct, frozen=True):
    """A member's state had ``digest`` at ``index``, and a majority's has ``majority``."""

    index: int
    digest: int
    majority: int


class Audit:
    """What the members told one leader. A divergence is found once, not at every index from there on.

    It is over for a member when that agrees with a majority again, at a later index.
    """

    def __init__(self) -> None:
        self._told: dict[int, dict[int, int]] = {}  # by index and member
        self._found: dict[int, int] = {}  # by member: the index at which it was last seen to differ
        self._verdicts: dict[int, Verdict] = {}  # by member: the newest one, where there was a majority

    def verdict(self, member: int) -> Verdict | None:
        """What ``member`` is to be told: as often as it is heard, since a message may be lost."""
        return self._verdicts.get(member)

    def heard(self, member: int, checkpoint: Checkpoint, quorum: Quorum) -> Divergence | None:
        """``member`` has this digest at this index. Learners are compared, and count nowhere."""
        index, digest = checkpoint.index, checkpoint.digest
        if checkpoint == NO_CHECKPOINT or self._told.get(index, {}).get(member) == digest:
            return None
        told = self._told.setdefault(index, {})
        told[member] = digest
        if len(self._told) > INDEXES_MAX:
            del self._told[min(self._told)]
        votes = Counter(told[voter] for voter in quorum.voters if voter in told)
        most = max(votes.values(), default=0)
        if most >= quorum.size:
            majority = next(digest for digest, number in votes.items() if number == most)
            return self._judge(index, told, majority)
        if most + len(quorum.voters) - votes.total() < quorum.size:  # whatever the others will say
            return self._judge(index, told, None)
        return None

    def _judge(self, index: int, told: dict[int, int], majority: int | None) -> Divergence | None:
        differ = sorted(member for member, digest in told.items() if digest != majority)
        news = [member for member in differ if member not in self._found]
        for member in told:
            if member in differ:
                self._found[member] = max(index, self._found.get(member, 0))
                if majority is not None:
                    self._verdicts[member] = Verdict(index, told[member], majority)
            elif index > self._found.get(member, index):
                del self._found[member]
                self._verdicts.pop(member, None)
        return Divergence(index, tuple(sorted(told.items())), majority, tuple(differ)) if news else None
