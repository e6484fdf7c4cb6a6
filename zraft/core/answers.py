"""What a storage owes while its log is not durable yet: group commit."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec.structs import replace

from zraft.core.acceptor import Reply
from zraft.protocol.local import Pong
from zraft.protocol.peer import AppendAnswer

To = TypeVar("To")
"""Where an answer goes: whoever drives the acceptor knows."""


class Answers(Generic[To]):
    """Answers in their order, each with where it goes. They are told once the log is committed, and not before."""

    def __init__(self) -> None:
        self._due: list[tuple[To, Reply | Pong]] = []

    def __bool__(self) -> bool:
        return bool(self._due)

    def add(self, to: To, answer: Reply | Pong) -> None:
        """One more; if it says the same as the one before, to the same place, of a longer log, they become one.

        So a stream of Appends is acknowledged once a turn.
        """
        if self._due and self._due[-1][0] == to:
            both = _merged(self._due[-1][1], answer)
            if both is not None:
                self._due[-1] = to, both
                return
        self._due.append((to, answer))

    def take(self) -> list[tuple[To, Reply | Pong]]:
        """All of them: the log is committed."""
        due, self._due = self._due, []
        return due


def _merged(last: Reply | Pong, answer: Reply | Pong) -> AppendAnswer | None:
    if not (isinstance(last, AppendAnswer) and isinstance(answer, AppendAnswer)):
        return None
    if not (last.success and answer.success and last.term == answer.term):
        return None
    return replace(answer, match=max(last.match, answer.match), commit=max(last.commit, answer.commit))
