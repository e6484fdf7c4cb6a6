"""Who may not even ask to join."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.unit.store.stored import find, flip, written
from tests.wire.scripted import ScriptedNode
from zraft.cluster.joining import join
from zraft.config import Settings
from zraft.core.versions import SUPPORTED
from zraft.errors import ConfigurationError, CorruptLog, IdentityRefused
from zraft.protocol.codec import encode
from zraft.protocol.entries import ClusterRecord, EntryId, Member
from zraft.protocol.requests import Request
from zraft.protocol.responses import MembersResult, Response
from zraft.store.log import LmdbLog

MEMBER = 7
NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def signals_are_the_tests_own() -> Iterator[None]:
    """It is a process of its own that joins: its signals end it, and tell nobody of a failure."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def settings(home: Path, join: str = NOBODY) -> Settings:
    return Settings(id="node-4", data_dir=str(home), join=join, http_port=free_port(), map_size_gib=1)


def log_in(home: Path, initial_state: bytes = b"") -> LmdbLog:
    home.mkdir(exist_ok=True)
    return LmdbLog(home / "log", MEMBER, 1 << 30, initial_state=initial_state)


def test_a_restored_state_joins_nothing(tmp_path: Path) -> None:  # its log would begin with another cluster's state
    log = log_in(tmp_path / "data", initial_state=bytes(32))
    log.install(EntryId(9, 2), 1)
    log.commit()
    log.close()
    with pytest.raises(ConfigurationError, match=r"holds a restored state.*join with an empty directory"):
        join(settings(tmp_path / "data"))


def test_who_was_a_member_before_asks_nobody(tmp_path: Path) -> None:
    log = log_in(tmp_path / "data")
    log.set_record(ClusterRecord((Member(1, "node-1"),), 150), formed=True)
    log.commit()
    log.close()
    join(settings(tmp_path / "data"))  # nobody answers there


def test_damage_is_left_to_a_node_that_ran_before(tmp_path: Path) -> None:
    directory = written(tmp_path / "data", entries=3, applied=3)
    file = directory.log_path / "data.mdb"
    flip(file, find(file, b"key 3"))
    with pytest.raises(CorruptLog):
        LmdbLog(directory.log_path, MEMBER, 1 << 30)
    join(settings(directory.path))  # it runs, and says so on /health
    shutil.rmtree(directory.state_path(0))
    with pytest.raises(CorruptLog):  # as far as it knows, it is nobody's member: it must not be started alone
        join(settings(directory.path))


def test_a_node_does_not_join_a_cluster_whose_version_its_code_does_not_know(tmp_path: Path) -> None:
    def script(request: Request) -> Response:
        pytest.fail(f"it asks for {request}: it does not announce itself")

    node = ScriptedNode(script)
    record = encode(ClusterRecord((Member(1, "node-1"),), 150))
    node.members = MembersResult(0, (), record, SUPPORTED + 1)
    try:
        text = rf"is at version {SUPPORTED + 1}, and this version of zraft knows only up to {SUPPORTED}: upgrade zraft"
        with pytest.raises(IdentityRefused, match=text):
            join(settings(tmp_path / "data", node.endpoint))
    finally:
        node.kill()
    assert node.requests == []
