"""Structured logs: one logfmt line an event on stderr, the same form from every process of a node.

::

    time=2026-05-04T12:00:00.123Z level=info node=node-1 actor=election term=3 event="became leader" votes=2
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import logging
import os
import re
import socket
import stat
import sys
import time
from collections.abc import Callable

STDERR = 2
EVENTS_MAX = 1_000
"""So many events that repeat are known; beyond that some of them may repeat faster."""
_PLAIN = re.compile(r"""[^\s"'=\\\x00-\x1f\x7f]+""")
_standard = logging.getLogger("zraft")


class Logger:
    """The logger of one process, with its node and actor in every line."""

    def __init__(self, node: str, actor: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self.actor = actor
        self._clock = clock
        self.term: int | None = None
        """The term that lines carry from now on; None: they carry none."""
        self._repeats: dict[str, _Repeat] = {}

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened that is part of a healthy life."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Something happened that an operator may want to look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed."""
        self._write(logging.ERROR, event, fields)

    def every(self, seconds: float, event: str, /, **fields: object) -> None:
        """A warning that may repeat fast: at most one line in ``seconds`` for this event.

        The next line tells how many were left out since the one before it (``suppressed``).
        """
        now = self._clock()
        if event not in self._repeats and len(self._repeats) >= EVENTS_MAX:
            self._repeats.clear()  # some tell what others say, which may be anything
        repeat = self._repeats.setdefault(event, _Repeat())
        if now < repeat.quiet_until:
            repeat.suppressed += 1
            return
        left_out = {"suppressed": repeat.suppressed} if repeat.suppressed else {}
        self._repeats[event] = _Repeat(quiet_until=now + seconds)
        self.warning(event, **fields, **left_out)

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        bound = {} if self.term is None else {"term": self.term}
        _standard.log(level, event, extra={"before": bound, "after": fields})


class _Repeat:
    def __init__(self, quiet_until: float = 0.0) -> None:
        self.quiet_until = quiet_until
        self.suppressed = 0


class Logfmt(logging.Formatter):
    """Makes a logfmt line of any record: ours, and those of libraries that use ``logging``."""

    def __init__(self, node: str, actor: str) -> None:
        super().__init__()
        self._bound = {"node": node, "actor": actor}

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields: dict[str, object] = {
            "time": f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            **self._bound,
            **record.__dict__.get("before", {}),
            "event": record.getMessage(),
            **record.__dict__.get("after", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _writer() -> Callable[[bytes], int]:
    """Writes to stderr what it takes at once: a reader that stands still is to stop no process of a node."""
    mode = os.fstat(STDERR).st_mode
    if stat.S_ISSOCK(mode):
        connected = socket.socket(fileno=os.dup(STDERR))
        return lambda data: connected.send(data, socket.MSG_DONTWAIT)
    descriptor = STDERR
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with contextlib.suppress(OSError):  # opened anew: the flags of the one that is there are others' as well
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            descriptor = os.open(f"/proc/self/fd/{STDERR}", flags)
    return lambda data: os.write(descriptor, data)


class _Stderr(io.TextIOBase):
    """Writes at once, and loses what can't be written.

    A line that waits in a buffer, as the disk of the log file is full or nobody reads the pipe any more, makes each
    later flush fail: that of a process that is about to exit with a code that matters (S13), that before a start of
    another one.
    """

    def __init__(self) -> None:
        self._write = _writer()

    def write(self, text: str) -> int:
        data = text.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):
            while data:
                data = data[self._write(data) :]
        return len(text)

    def fileno(self) -> int:
        return STDERR


def take_stderr() -> None:
    """Let this process print to stderr what can be printed, and come to no harm by the rest."""
    sys.stderr = _Stderr()


def set_up(node: str, actor: str) -> Logger:
    """Sends all logging of this process to stderr as logfmt lines, from level info on, and returns its logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt(node, actor))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return Logger(node, actor)


def _value(value: object) -> str:
    match value:
        case bool() | None:
            return json.dumps(value)
        case float():
            return f"{value:.6g}"
        case bytes():
            return value.hex() or '""'
        case _:
            text = str(value)
            return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
