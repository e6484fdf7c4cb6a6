"""A supervisor as a process of its own, with stand-ins for the actors, on a directory of a test."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.ports import free_port
from tests.waiting import wait_until
from zraft.actors.beat import HUNG_SECONDS
from zraft.actors.roster import Roster
from zraft.config import Settings
from zraft.core.restarts import TRIO

ROOT = Path(__file__).resolve().parents[3]
ACTORS = (*TRIO, "gateway")
# Without "if __name__ == '__main__'": children do not run their parent's script again.
MAIN = """
import sys, msgspec
from zraft.actors import supervisor
from zraft.config import Settings
supervisor.HUNG_SECONDS = float(sys.argv[3])
sys.exit(supervisor.run(msgspec.json.decode(sys.argv[1], type=Settings), msgspec.json.decode(sys.argv[2])))
"""
WAIT_S = 60.0


class Node:
    """A supervisor with stand-in actors on a directory of the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.settings = Settings(
            data_dir=str(self.data),
            port=free_port(),
            http_port=free_port(),
            peer_port=free_port(),
            peers={"node-2": "other:7080"},
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.hung_seconds = HUNG_SECONDS
        self.log_path = home / "log"

    def start(self) -> subprocess.Popen[bytes]:
        modules = dict.fromkeys(ACTORS, "tests.unit.actors.stand_in")
        script = self.home / "main.py"
        script.write_text(MAIN)
        arguments = [msgspec.json.encode(self.settings).decode(), json.dumps(modules), str(self.hung_seconds)]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(self.home), "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONUNBUFFERED", None)  # as most people run it
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), *arguments],
                env=environment,
                stderr=log,
                start_new_session=True,
                # As a terminal starts it, however this test was: what runs by nohup ignores the terminal's end.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )
        return self.process

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def runtime(self) -> Path | None:
        return next(iter(self.home.glob("zraft-*")), None)

    def roster(self) -> Roster | None:
        runtime = self.runtime()
        roster = Roster.read(runtime) if runtime else None
        return roster if roster and roster.supervisor == self.supervisor.pid else None

    def running(self, than: Roster | None = None, *, new: tuple[str, ...] = ()) -> Roster:
        """The roster once all actors run and are ready, those in ``new`` as other processes than before."""

        def condition() -> Roster | None:
            roster = self.roster()
            if roster is None or set(roster.actors) != set(ACTORS):
                return None
            if than and any((roster.actors[actor] == than.actors[actor]) == (actor in new) for actor in ACTORS):
                return None
            launched = all(self.launched(actor)[:1] == [str(pid)] for actor, pid in roster.actors.items())
            return roster if launched else None

        return wait_until(condition, WAIT_S, f"all actors to run\n{self.log()}")

    def launched(self, actor: str) -> list[str]:
        try:
            return (self.data / f"{actor}.launched").read_text().split()
        except FileNotFoundError:
            return []

    def order(self, actor: str, order: str) -> None:
        (self.data / f"{actor}.{order}").touch()

    def get(self, path: str) -> tuple[int, Any]:
        """Status and content (JSON, or text) of a path; (0, None) while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.http_port}{path}", timeout=5) as answer:
                status, kind, body = answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, kind, body = error.code, error.headers["Content-Type"], error.read()
        except (urllib.error.URLError, ConnectionError):
            return 0, None
        return status, json.loads(body) if kind == "application/json" else body.decode()

    def is_ready(self) -> bool:
        return self.get("/health/ready")[0] == 200

    def reason(self, words: str) -> Callable[[], bool]:
        """Whether the node is red, and says ``words``."""

        def condition() -> bool:
            status, content = self.get("/health/ready")
            return status == 503 and words in content["reason"]

        return condition

    def session(self) -> set[int]:
        """The living processes that the supervisor started, itself and the resource tracker included."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and session_of(entry / "stat") == self.supervisor.pid:
                found.add(int(entry.name))
        return found

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.is_file() else ""

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            wait_until(lambda: not self.session(), WAIT_S, "everything to end")


def session_of(stat: Path) -> int | None:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[3])
