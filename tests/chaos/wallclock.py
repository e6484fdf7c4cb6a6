"""Wall clocks that jump while a node runs, each node's by itself."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("wallclock.c")


class WallClocks:
    """The clocks of what is started while the context of ``jumping_clocks`` lasts, by session."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def set_off(self, session: int, seconds: int) -> None:
        """From now on the session's wall clock is off by so many seconds."""
        path = self._directory / str(session)
        path.with_suffix(".new").write_text(str(seconds))
        path.with_suffix(".new").rename(path)


@contextlib.contextmanager
def jumping_clocks() -> Iterator[WallClocks]:
    """What is started meanwhile has a wall clock that can be set off."""
    with tempfile.TemporaryDirectory(prefix="zraft-clock-") as directory, pytest.MonkeyPatch.context() as patch:
        library = Path(directory) / "wallclock.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True, capture_output=True
        )
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("WALL_CLOCK_DIRECTORY", directory)
        yield WallClocks(Path(directory))


@functools.cache
def available() -> str | None:
    """Why there are no such clocks here; None if there are."""
    if shutil.which("gcc") is None:
        return "there is no gcc"
    script = "import time; print(time.time() < 1e9 < time.monotonic() + 2e9)"
    try:
        with jumping_clocks() as clocks:
            clocks.set_off(os.getsid(0), -2_000_000_000)
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the clock can't be shimmed: {error}"
    return None if done.stdout == "True\n" else f"the shim has no effect: {done.stdout}"
