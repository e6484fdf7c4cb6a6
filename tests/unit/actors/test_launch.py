"""The frame that children run in: how they start, how they end, and what is heard of it."""

import os
import select
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from zraft.actors.children import Children, Ended
from zraft.actors.launch import Launch, StopSignal, last_words, page_path
from zraft.config import Settings
from zraft.errors import NotYetMember
from zraft.store.page import Page

STAND_IN = "tests.unit.actors.stand_in"
WAIT_S = 60.0


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    Page.create(page_path(tmp_path)).close()
    return Launch(Settings(data_dir=str(tmp_path)), tmp_path, incarnation=7, parent=os.getpid(), lock=None)


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children({"gateway": STAND_IN, "nobody": "tests.unit.actors.there_is_no_such_module"})
    yield children
    children.end()


@pytest.mark.parametrize(
    ("order", "exit_code", "words"),
    [
        ("sync", 76, "fdatasync: EIO"),
        ("setting", 2, "a setting is wrong"),
        ("bug", 70, "invariant violated: one and one is two (sum=3)"),
    ],
)
def test_an_error_is_an_exit_code_a_line_and_last_words(
    children: Children,
    launch: Launch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    order: str,
    exit_code: int,
    words: str,
) -> None:
    (tmp_path / f"gateway.{order}").touch()
    pid = children.start("gateway", launch)
    assert children.wait(WAIT_S, None) == [Ended("gateway", pid, exit_code)]
    assert children.pids() == {}
    (line,) = capfd.readouterr().err.splitlines()
    assert f"level=error node=node-1 actor=gateway event={'bug' if order == 'bug' else 'fatal'}" in line
    assert f'message="{words}"' in line
    assert last_words(tmp_path, "gateway") == words
    assert last_words(tmp_path, "gateway") == ""


def test_that_there_is_a_cluster_to_join_is_no_error(
    children: Children, launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.outside").touch()
    pid = children.start("gateway", launch)
    assert children.wait(WAIT_S, None) == [Ended("gateway", pid, NotYetMember.exit_code)]
    (line,) = capfd.readouterr().err.splitlines()
    assert 'level=info node=node-1 actor=gateway event="begins anew" why="others have formed"' in line


def test_any_other_exception_is_exit_code_1(
    children: Children, launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pid = children.start("nobody", launch)
    assert children.wait(WAIT_S, None) == [Ended("nobody", pid, 1)]
    assert "ModuleNotFoundError" in last_words(tmp_path, "nobody")
    (line,) = capfd.readouterr().err.splitlines()
    assert "event=crashed" in line
    assert 'traceback="Traceback' in line


def test_a_child_of_another_version_than_its_supervisor_does_nothing(
    children: Children, launch: Launch, tmp_path: Path
) -> None:
    pid = children.start("gateway", replace(launch, version="0.0.1"))
    assert children.wait(WAIT_S, None) == [Ended("gateway", pid, 70)]
    assert "was installed while this node runs 0.0.1: restart the whole node" in last_words(tmp_path, "gateway")
    assert not (tmp_path / "gateway.launched").exists()


def test_a_child_stops_in_good_order(children: Children, launch: Launch, tmp_path: Path) -> None:
    pid = children.start("gateway", launch)
    while not (tmp_path / "gateway.launched").exists():
        assert children.wait(0.01, None) == []
    children.terminate(["gateway", "nobody"])
    assert children.wait(WAIT_S, None) == [Ended("gateway", pid, 0)]
    assert last_words(tmp_path, "gateway") == ""


def test_a_child_whose_parent_is_another_does_not_live(children: Children, launch: Launch) -> None:
    """It died before the child could bind itself to it."""
    orphan = Launch(launch.settings, launch.runtime, 0, parent=os.getpid() + 1, lock=None)
    pid = children.start("gateway", orphan)
    assert children.wait(WAIT_S, None) == [Ended("gateway", pid, 1)]


def test_waiting_ends_with_a_wish_to_stop(children: Children, launch: Launch) -> None:
    children.start("gateway", launch)
    stop = StopSignal()
    stop.request()
    assert children.wait(WAIT_S, stop) == []
    stop.close()


def test_a_wish_to_stop_is_readable_until_the_end() -> None:
    stop = StopSignal()
    assert select.select([stop], [], [], 0)[0] == []
    for _ in range(100_000):
        stop.request()
    assert stop.requested
    assert select.select([stop], [], [], 0)[0] == [stop]
    stop.close()
