"""Whether a storage that has started holds about what the cluster has committed, so that others may be restarted.

A member that comes back answers at once, but counts for nothing new until it has what was committed while it was
away. Whoever takes the next node down before that leaves no majority for what is written meanwhile.
"""

from __future__ import annotations

ROUND_SECONDS = 2.0
"""Who needs no longer for what was committed at a round's begin is not far behind at its end."""


class CatchingUp:
    """The rounds in which one storage catches up, from its start on; once it has, it stays so.

    As a leader judges a new server ([D] 4.2.1): in each round it is to get what was there at the round's begin, and it
    is caught up once a round was short. Here the follower counts, up to the commit index that it is told, and to having
    applied it. That it stays so is deliberate: an overload must not take all followers away from those who balance
    between them.
    """

    def __init__(self) -> None:
        self.lasts = True
        self._told = 0
        self._goal = 0
        self._began = 0.0

    def told(self, commit: int) -> None:
        """A leader, of whatever term, says that all up to ``commit`` is committed; 0: it knows of nothing yet."""
        self._told = max(self._told, commit)

    def look(self, applied: int, now: float) -> int | None:
        """The index that must be applied yet; 0: nobody has said what is committed; None: it has caught up.

        Args:
            applied: the last index that the state contains.
            now: the time, in seconds.
        """
        if self.lasts and self._told and self._is_there(applied, now):
            self.lasts = False
        return self._told if self.lasts else None

    def _is_there(self, applied: int, now: float) -> bool:
        if applied >= self._told:
            return True
        if applied >= self._goal:
            if self._goal and now - self._began < ROUND_SECONDS:
                return True
            self._goal, self._began = self._told, now
        return False
