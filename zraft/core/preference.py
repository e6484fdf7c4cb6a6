"""Where leadership had better be: each node has a priority, and a leader hands over to one that has a higher one.

It is a wish and no rule of safety: whoever is elected leads, and hands over as by command (S8, ``core.transfer``),
which looks for itself whether the other is a voter, answers, and has every entry. So that leadership does not wander,
the leader and the other must have been calm for a while, and each try makes the pause before the next one twice as
long, whatever came of it: a node that is preferred and can't keep the leadership gets it ever more rarely.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from zraft.core.room import ENOUGH

CALM_SECONDS = 10.0
"""So long must this node have led its term, and the other have been heard, before anything is handed over."""
HEARD_SECONDS = 3.0
"""Who was not heard for so long has been away: its calm begins anew."""
PAUSE_SECONDS_MAX = 640.0
"""Between two tries; without any for twice so long, the pause is the shortest again."""


def priority_of(setting: int, level: int) -> int:
    """What a node tells of itself: as it was set; or less than any that can be set, where its disk lacks room.

    While such a node leads, the room that others have is of no use to anybody. ``level``: see ``core.room``.
    """
    return setting if level == ENOUGH else -level


class Preference:
    """What the gateway of one node knows of priorities. Times are seconds."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, float, float]] = {}  # priority, since when, and when last
        self._term = 0
        self._led_since = math.inf
        self._pause = CALM_SECONDS
        self._tried = -math.inf

    def on_greeting(self, name: str, priority: int, now: float) -> None:
        """A member is there, and says its priority."""
        before, since, last = self._heard.get(name, (priority, now, now))
        is_calm = now - last <= HEARD_SECONDS and priority <= before
        self._heard[name] = (priority, since if is_calm else now, now)

    def successor(self, own: int, term: int, voters: Collection[str], now: float) -> str:
        """Whom to ask to take over now, once: the name of a voter; or empty.

        Args:
            own: the priority of this node.
            term: the one that this node leads, 0 if it leads none.
            voters: the names of those who may lead.
            now: the time.
        """
        if term != self._term:
            self._term, self._led_since = term, now
        if not term or now < max(self._led_since + CALM_SECONDS, self._tried + self._pause):
            return ""
        calm = {
            name: priority
            for name, (priority, since, last) in self._heard.items()
            if name in voters and priority > own and now - last <= HEARD_SECONDS and now - since >= CALM_SECONDS
        }
        if not calm:
            return ""
        is_recent = now - self._tried <= 2 * PAUSE_SECONDS_MAX
        self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX) if is_recent else CALM_SECONDS
        self._tried = now
        return min(calm, key=lambda name: (-calm[name], name))
