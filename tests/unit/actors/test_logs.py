"""Logs as people and tools read them."""

import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from zraft.actors.logs import EVENTS_MAX, Logfmt, Logger


class Lines(logging.Handler):
    """What was logged, as lines without their time."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Logfmt("node-1", "election"))
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert re.match(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)
        self.found.append(line.partition(" ")[2])


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    caplog.set_level(logging.INFO)
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.found
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def logger() -> Logger:
    return Logger("node-1", "election")


def test_a_line_names_node_actor_and_term(logger: Logger, lines: list[str]) -> None:
    logger.info("started", port=8080)
    logger.term = 3
    logger.info("became leader", votes=2)
    assert lines == [
        "level=info node=node-1 actor=election event=started port=8080",
        'level=info node=node-1 actor=election term=3 event="became leader" votes=2',
    ]


def test_levels_are_told(logger: Logger, lines: list[str]) -> None:
    logger.warning("a")
    logger.error("b")
    assert [line.split()[0] for line in lines] == ["level=warning", "level=error"]


def test_every_value_is_one_word_or_quoted(logger: Logger, lines: list[str]) -> None:
    logger.info(
        "x", a="two words", b='say "x"', c="", d="k=v", e=b"\x01\xff", f=0.1 + 0.2, g=True, h=None, i="line\nline"
    )
    assert lines[0].partition("event=x ")[2] == (
        r'a="two words" b="say \"x\"" c="" d="k=v" e=01ff f=0.3 g=true h=null i="line\nline"'
    )


def test_a_library_s_exception_is_one_line_too(lines: list[str]) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("somebody").exception("failed %d times", 3)
    assert len(lines) == 1
    assert lines[0].startswith('level=error node=node-1 actor=election event="failed 3 times" traceback="Traceback')
    assert "\n" not in lines[0]


def test_a_repeated_event_is_told_once_in_a_while_and_counted(lines: list[str]) -> None:
    now = 100.0
    logger = Logger("node-1", "election", clock=lambda: now)
    for peer in ("node-2", "node-3", "node-2"):
        logger.every(10, "peer is gone", peer=peer)
    logger.every(10, "another event")
    now = 110.0
    logger.every(10, "peer is gone", peer="node-2")
    now = 120.0
    logger.every(10, "peer is gone", peer="node-2")
    assert [line.partition("event=")[2] for line in lines] == [
        '"peer is gone" peer=node-2',
        '"another event"',
        '"peer is gone" peer=node-2 suppressed=2',
        '"peer is gone" peer=node-2',
    ]


def test_what_is_known_of_repeated_events_is_bounded(lines: list[str]) -> None:
    """An event may tell what a stranger says, as the reason for which a node is not ready."""
    logger = Logger("node-1", "election", clock=lambda: 100.0)
    for number in range(3 * EVENTS_MAX):
        logger.every(10, f"not ready: {number}")
        logger.every(10, f"not ready: {number}")
    assert len(lines) == 3 * EVENTS_MAX
    assert len(logger._repeats) <= EVENTS_MAX


PRINTS = """
from zraft.actors.logs import set_up, take_stderr
take_stderr()
log = set_up("node-1", "storage")
for number in range(5_000):
    log.info("x" * 100, number=number)
"""


@pytest.mark.parametrize("kind", [os.pipe, lambda: tuple(end.detach() for end in socket.socketpair())])
def test_whoever_does_not_read_the_log_stops_nobody(kind: Callable[[], tuple[int, int]]) -> None:
    reader, writer = kind()
    try:
        subprocess.run([sys.executable, "-c", PRINTS], stderr=writer, timeout=60, check=True)
        assert b"number=0" in os.read(reader, 1 << 16)
    finally:
        os.close(reader)
        os.close(writer)
