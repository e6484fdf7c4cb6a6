"""The roster: which processes a running node has, in a file for people and tools that act on one of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

_NAME = "actors.json"


class Roster(msgspec.Struct, frozen=True):
    """The processes of a node. ``incarnation``: of the trio, 16 hex digits; empty while it is not running."""

    node: str
    supervisor: int
    incarnation: str
    actors: dict[str, int]
    """Process ids by actor."""

    def write(self, runtime: Path) -> None:
        """Replaces the roster in a node's runtime directory, in one step."""
        fresh = runtime / f"{_NAME}.new"
        fresh.write_bytes(msgspec.json.encode(self))
        fresh.rename(runtime / _NAME)

    @classmethod
    def read(cls, runtime: Path) -> Roster | None:
        """The roster of a node; None if it has stopped, or what is there is none.

        A node that was killed leaves its last one behind.
        """
        try:
            return msgspec.json.decode((runtime / _NAME).read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None
