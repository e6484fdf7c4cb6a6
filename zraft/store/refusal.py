"""The refusal to write to a log any more, once a write to it went wrong (S13).

LMDB's next commit would succeed, with what the failed one wrote lost (trap 30a). And where it was not the disk that
failed, but the memory, say, some of the steps of a write may be missing, and half of it is not to be committed either.
The process ends, and the next start finds what is durable, as after a kill.
"""

from __future__ import annotations

from pathlib import Path

import lmdb

from zraft.errors import SyncFailed
from zraft.store.environment import sync_failure


class Refusal:
    """Of the log in the directory ``log``; nothing is refused yet."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._why = ""
        self._broken_off = f"a write to the log in {log} broke off, and none may follow it"

    def check(self) -> None:
        """To be called before each write.

        Raises:
            SyncFailed: an earlier one went wrong.
        """
        if self._why:
            raise SyncFailed(self._why)

    def sync_failed(self, error: lmdb.Error | OSError) -> SyncFailed:
        """The disk refused a commit: what to raise, now and from now on."""
        self.broke_off()  # first: there may be no memory for more words
        self._why = sync_failure(error, self._log)
        return SyncFailed(self._why)

    def broke_off(self) -> None:
        """A write ended with an error of any kind, which tells more by itself."""
        self._why = self._why or self._broken_off
