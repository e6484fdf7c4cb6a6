"""A data directory on a machine whose processes can be killed and whose power can be cut, for the tests of recovery."""

import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from zraft.core.acceptor import Acceptor
from zraft.core.applier import Applier
from zraft.core.views import View
from zraft.errors import CorruptLog
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import NO_ORIGIN, EntryId, EntryKind, encode_entry
from zraft.protocol.requests import Get, Put
from zraft.store import dirty, recovery
from zraft.store.directory import DataDirectory
from zraft.store.dirty import BootIdentity, DirtyMark, Mark
from zraft.store.recovery import Stores, open_stores
from zraft.store.soundness import scan_log, scan_state

MAP_SIZE = 1 << 30
MEMBER = 0xA
NEVER_APPLIED = EntryId(0, 0)
LAST = EntryId(3, 1)


class Machine:
    """A data directory on a machine whose power can be cut."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = DataDirectory(path)
        self.boot = 1
        path.mkdir()
        monkeypatch.setattr(dirty, "boot_identity", lambda _: BootIdentity(f"boot {self.boot}", 7))
        # A process for each of many starts takes too long.
        monkeypatch.setattr(recovery, "verify_log", scan_log)
        monkeypatch.setattr(recovery, "verify_state", scan_state)

    def open(self) -> Stores:
        return open_stores(self.directory, MEMBER, MAP_SIZE, lambda seconds: None)

    def open_and_apply(self, entries: int = LAST.index) -> Stores:
        """Three entries that set keys 1 to 3, of which so many are applied."""
        stores = self.open()
        payloads = [pack_commands([encode(Put(b"%d" % index, b"v"))]) for index in (1, 2, 3)]
        encoded = [encode_entry(i, 1, EntryKind.COMMANDS, NO_ORIGIN, payload) for i, payload in enumerate(payloads, 1)]
        stores.log.append(1, encoded)
        stores.log.set_term(1, MEMBER)
        stores.log.commit()
        acceptor = Acceptor(stores.log)
        acceptor.commit = entries
        Applier(stores.log, stores.state, acceptor).work(lambda: False)
        return stores

    def template(self) -> Callable[[], None]:
        """Keep the directory as it is now; each call of what this returns brings it back."""
        data, kept = self.directory.path, self.directory.path.with_name("template")
        data.rename(kept)

        def bring_back() -> None:
            shutil.rmtree(data, ignore_errors=True)
            shutil.copytree(kept, data)

        return bring_back

    def refusal(self) -> str:
        try:
            self.open()
        except CorruptLog as error:
            message = str(error)
        else:
            pytest.fail("it was opened")
        gc.collect()  # LMDB opens nothing twice in a process, and the refused start was to end with its own
        return message

    def states(self) -> list[str]:
        return sorted(path.name for path in self.directory.path.glob("state.*"))

    def mark(self) -> Mark:
        return DirtyMark(self.directory.dirty_mark).state()


def kill(stores: Stores) -> None:
    """The process is gone: nothing more is written, and what was lives on in the page cache."""
    stores.state.close()
    stores.log.close()


def facts(stores: Stores) -> tuple[int, EntryId, str]:
    """(generation, applied, why it was rebuilt), and the stores are closed."""
    found = (stores.generation, stores.applied, stores.rebuilt)
    kill(stores)
    return found


def value(stores: Stores, key: bytes) -> bytes | None:
    found = View(stores.state).get(Get(key)).value
    stores.state.abort()
    return found


class Killed(BaseException):
    """The process ends here."""


def run_killed_at(line: int, run: Callable[[], object], module: ModuleType = recovery) -> bool:
    """Run until the ``line``-th line of ``module``; whether it came so far. What is open is dropped."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == line:
                raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = run()
    except Killed:
        return True
    finally:
        sys.settrace(before)
        gc.collect()
    if isinstance(result, Stores):
        kill(result)
    return False


def moments(run: Callable[[int], bool]) -> int:
    """Call ``run`` with 1, 2, ... until it is not killed any more; returns how often it was."""
    line = 1
    while run(line):
        line += 1
    return line - 1
