"""Single nodes with settings of the test's choice, and what any node says over HTTP."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.waiting import wait_until
from zraft.config import Settings

ROOT = Path(__file__).resolve().parents[2]
HTTP_S_MAX = 5.0
STOP_S_MAX = 20.0
WAIT_S = 60.0


class Node:
    """A running node: a process that leads a session and a process group of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command(settings), cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )

    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def wait_for_reason(self, *parts: str) -> None:
        """Returns when ``/health`` gives a reason for not being ready that has all of these parts, and the log too."""

        def is_said() -> bool:
            _, answer = http(self.settings, "/health")
            return all(part in answer.get("reason", "") and part in self.log() for part in parts)

        wait_until(is_said, WAIT_S, f"{self.settings.id} to say {' ... '.join(parts)}")

    def stop(self) -> int:
        """SIGTERM to the supervisor; returns its exit code when it is gone."""
        self.process.terminate()
        return self.process.wait(STOP_S_MAX)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def started(settings: Settings, home: Path) -> Iterator[Node]:
    """A node while the context lasts, its log in ``home``; it must stop in order when asked to."""
    node = Node(settings, home / f"{settings.id}.{settings.port}.log")
    try:
        yield node
        if node.process.poll() is None:
            assert node.stop() == 0
    except BaseException:
        print(f"--- {node.settings.id}", node.log()[-4000:], sep="\n")
        raise
    finally:
        node.kill()


def command(settings: Settings) -> list[str]:
    """The command line of a node with these settings."""
    flags = []
    for name, value in msgspec.structs.asdict(settings).items():
        text = ",".join(f"{peer}={at}" for peer, at in value.items()) if isinstance(value, dict) else str(value)
        flags += [f"--{name.replace('_', '-')}", text]
    return [sys.executable, "-m", "zraft.cli", "node", *flags]


def http(settings: Settings, path: str) -> tuple[int, dict[str, Any]]:
    """Status code and JSON of a resource; 0 and nothing when nobody listens."""
    status, body = http_text(settings, path)
    return status, json.loads(body or "{}")


def http_text(settings: Settings, path: str) -> tuple[int, str]:
    """Status code and body of a resource; 0 and nothing when nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{settings.host}:{settings.http_port}{path}", timeout=HTTP_S_MAX) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
