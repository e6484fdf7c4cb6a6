"""What a node says of itself from the page, at each stage of its life."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from zraft.actors.status import cluster_status, from_page, named_fields, why_not_ready
from zraft.config import Settings
from zraft.core.versions import SUPPORTED
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.local import CommitGroup, Holdings, IdentityGroup, NodeGroup, RoleGroup, StorageGroup
from zraft.protocol.requests import ClusterStatus, Get, ListMembers, Put
from zraft.protocol.responses import MembersResult, PeerInfo, StatusResult
from zraft.store.page import Group, Page

SETTINGS = Settings(id="a", peers={"b": "host-b:7080", "c": "host-c:7080"})
A, B, C = 1, 2, 3
MEMBERS = (Member(A, "a"), Member(B, "b"), Member(C, "c", voter=False))
IDENTITY = IdentityGroup(A, b"\xfe" * 16, Configuration(0, MEMBERS))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page.create(tmp_path / "page")
    yield page
    page.close()


HOLDINGS = Holdings(6, 100, 200, 300, installing_held_bytes=40, installing_bytes=50)


def storage(
    term: int = 5, commit: int = 9, applied: int = 8, holdings: Holdings = HOLDINGS, catching_up: int | None = None
) -> bytes:
    return encode(
        StorageGroup(
            0,
            term,
            1,
            10,
            commit,
            applied,
            revision=7,
            space=0,
            compacted=2,
            swept=1,
            holdings=holdings,
            cluster_version=2,
            catching_up=catching_up,
        )
    )


def publish_all(page: Page) -> None:
    page.publish(Group.NODE, encode(NodeGroup(77)))
    page.publish(Group.ROLE, encode(RoleGroup(term=5, role="follower", leader=B)))
    page.publish(Group.IDENTITY, encode(IDENTITY))
    page.publish(Group.STORAGE, storage())


def test_other_requests_do_not_so_much_as_load_the_page(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_all(page)
    assert isinstance(from_page(ClusterStatus(), page, SETTINGS, {}), StatusResult)
    assert isinstance(from_page(ListMembers(), page, SETTINGS, {}), MembersResult)
    monkeypatch.setattr(Page, "load", lambda *_: pytest.fail("this is asked for every read and write"))
    assert from_page(Get(b"k"), page, SETTINGS, {}) is None
    assert from_page(Put(b"k", b"v"), page, SETTINGS, {}) is None


def test_a_status_is_empty_before_the_cluster_has_formed(page: Page) -> None:
    page.publish(Group.NOTICE, "waiting for node-2: é".encode())
    assert cluster_status(page, SETTINGS, {}) == StatusResult(
        node_id="a",
        state="",
        current_term=0,
        leader_id="",
        peers=(),
        commit_index=0,
        last_applied=0,
        member_id="",
        cluster_id="",
        first_log_index=0,
        last_log_index=0,
        revision=0,
        notice="waiting for node-2: é",
        supported_version=SUPPORTED,
    )


def test_a_status_is_put_together_from_the_page(page: Page) -> None:
    publish_all(page)
    assert cluster_status(page, SETTINGS, {"b": "host-b:8080"}) == StatusResult(
        node_id="a",
        state="follower",
        current_term=5,
        leader_id="b",
        peers=(
            PeerInfo("b", "0000000000000002", "host-b:7080", "host-b:8080", True),
            PeerInfo("c", "0000000000000003", "host-c:7080", "", False),
        ),
        commit_index=9,
        last_applied=8,
        member_id="0000000000000001",
        cluster_id="fe" * 16,
        first_log_index=1,
        last_log_index=10,
        revision=7,
        compacted_revision=2,
        snapshot_index=6,
        log_bytes=100,
        state_bytes=200,
        snapshots_bytes=300,
        installing_held_bytes=40,
        installing_bytes=50,
        cluster_version=2,
        supported_version=SUPPORTED,
        swept_revision=1,
    )


def test_the_term_is_the_one_of_the_state(page: Page) -> None:
    publish_all(page)
    page.publish(Group.STORAGE, storage(term=6))
    assert cluster_status(page, SETTINGS, {}).current_term == 5
    page.clear(Group.ROLE)
    assert cluster_status(page, SETTINGS, {}).current_term == 6


def test_a_status_complains_of_all_that_is_wrong(page: Page) -> None:
    publish_all(page)
    assert cluster_status(page, SETTINGS, {}).notice == ""
    page.publish(Group.ROLE, encode(RoleGroup(term=5, role="candidate", leader=0)))
    page.publish(Group.NOTICE, b"the log says so")
    page.publish(Group.DISORDER, b"storage has not moved for 6 s")
    told = from_page(ClusterStatus(), page, SETTINGS, {})
    assert isinstance(told, StatusResult)
    assert told.notice == "storage has not moved for 6 s; the log says so; no leader is known in term 5"
    page.publish(Group.NOTICE, b"storage has not moved for 6 s")
    assert cluster_status(page, SETTINGS, {}).notice == "storage has not moved for 6 s; no leader is known in term 5"


def test_a_status_tells_of_stores_that_are_being_opened(page: Page) -> None:  # of a large node for minutes
    page.publish(Group.NODE, encode(NodeGroup(77)))
    assert cluster_status(page, SETTINGS, {}).notice == "storage is reading its log and state"


def test_a_leader_tells_its_own_commit_index(page: Page) -> None:
    publish_all(page)
    page.publish(Group.COMMIT, encode(CommitGroup(term=5, commit=10)))
    assert cluster_status(page, SETTINGS, {}).commit_index == 10


def test_fields_have_names_in_json(page: Page) -> None:
    publish_all(page)
    status = cluster_status(page, SETTINGS, {})
    fields = named_fields(status)
    assert tuple(fields) == StatusResult.__struct_fields__
    assert fields["peers"] == [
        {
            "node_id": "b",
            "member_id": "0000000000000002",
            "peer_address": "host-b:7080",
            "client_endpoint": "",
            "voter": True,
        },
        {
            "node_id": "c",
            "member_id": "0000000000000003",
            "peer_address": "host-c:7080",
            "client_endpoint": "",
            "voter": False,
        },
    ]


def test_a_node_is_ready_when_it_can_serve(page: Page) -> None:
    publish_all(page)
    page.publish(Group.STORAGE, storage(holdings=Holdings(6)))
    assert why_not_ready(page) == ""


def test_a_node_that_receives_a_snapshot_is_not_ready(page: Page) -> None:
    """Nothing new is acknowledged by it: were the next one restarted meanwhile, writes would wait for all of it."""
    publish_all(page)
    assert why_not_ready(page) == "a snapshot is received: 40 of 50 bytes"


@pytest.mark.parametrize(
    ("catching_up", "reason"),
    [(0, "no leader has said yet what is committed"), (30, "catching up: 8 of 30 committed entries are applied")],
)
def test_a_node_that_catches_up_is_not_ready(page: Page, catching_up: int, reason: str) -> None:
    """What is committed meanwhile needs all the others: the next one is not to be restarted yet."""
    publish_all(page)
    page.publish(Group.STORAGE, storage(holdings=Holdings(6), catching_up=catching_up))
    assert why_not_ready(page) == reason
    assert cluster_status(page, SETTINGS, {}).notice == reason


def test_storage_that_does_not_run_reads_nothing(page: Page) -> None:
    page.publish(Group.DISORDER, b"storage not running")
    page.publish(Group.NODE, encode(NodeGroup(0)))
    assert cluster_status(page, SETTINGS, {}).notice == "storage not running"


def test_a_node_whose_processes_are_in_disorder_is_not_ready(page: Page) -> None:
    publish_all(page)
    page.publish(Group.DISORDER, b"replication has not moved for 6 s")
    assert why_not_ready(page) == "replication has not moved for 6 s"


def test_readiness_names_the_first_thing_that_is_missing(page: Page) -> None:
    reasons = [why_not_ready(page)]
    page.publish(Group.NODE, encode(NodeGroup(77)))
    reasons.append(why_not_ready(page))
    page.publish(Group.STORAGE, storage(applied=0))
    page.publish(Group.IDENTITY, encode(IdentityGroup(A, b"", Configuration(0, ()))))
    reasons.append(why_not_ready(page))
    page.publish(Group.NOTICE, b"node-2 has not answered")
    reasons.append(why_not_ready(page))
    page.clear(Group.NOTICE)
    page.publish(Group.IDENTITY, encode(IDENTITY))
    page.publish(Group.ROLE, encode(RoleGroup(term=5, role="candidate", leader=0)))
    reasons.append(why_not_ready(page))
    page.publish(Group.ROLE, encode(RoleGroup(term=5, role="follower", leader=B)))
    page.publish(Group.STORAGE, storage(applied=0, holdings=Holdings()))
    reasons.append(why_not_ready(page))
    page.publish(Group.NODE, encode(NodeGroup(0)))
    reasons.append(why_not_ready(page))
    assert reasons == [
        "election, replication and storage are not running",
        "storage is reading its log and state",
        "the cluster has not formed",
        "the cluster has not formed: node-2 has not answered",
        "no leader is known in term 5",
        "storage has applied nothing yet",
        "election, replication and storage are not running",
    ]
