"""The page as a gateway reads it: what is kept, what is loaded anew."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from zraft.actors.clock import clock
from zraft.actors.hints import Hints
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.local import CommitGroup, IdentityGroup, LeaseGroup, NodeGroup, RoleGroup, StorageGroup
from zraft.store.page import Group, Page

ROLE = RoleGroup(3, "leader", 1)
IDENTITY = IdentityGroup(1, b"0123456789abcdef", Configuration(0, (Member(1, "node-1"),)))
STORAGE = StorageGroup(generation=2, term=3, first=1, last=9, commit=7, applied=6, revision=5, space=1)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page.create(tmp_path / "page")
    yield page
    page.close()


@pytest.fixture
def hints(page: Page) -> Hints:
    return Hints(page)


def known(hints: Hints) -> tuple[object, ...]:
    return (hints.role(), hints.identity(), hints.incarnation(), hints.generation(), hints.space())


def test_nothing_is_known_of_an_empty_page(hints: Hints) -> None:
    assert known(hints) == (None, None, 0, None, 0)
    hints.refresh()
    assert known(hints) == (None, None, 0, None, 0)
    assert (hints.lease(), hints.commit(), hints.notice()) == (None, None, "")


def test_what_is_published_is_known_from_the_next_refresh_on(page: Page, hints: Hints) -> None:
    page.publish(Group.ROLE, encode(ROLE))
    page.publish(Group.IDENTITY, encode(IDENTITY))
    page.publish(Group.NODE, encode(NodeGroup(77)))
    page.publish(Group.STORAGE, encode(STORAGE))
    assert known(hints) == (None, None, 0, None, 0)
    hints.refresh()
    assert known(hints) == (ROLE, IDENTITY, 77, 2, 1)


def test_a_restart_of_the_trio_takes_all_back_but_who_this_node_is(page: Page, hints: Hints) -> None:
    test_what_is_published_is_known_from_the_next_refresh_on(page, hints)
    for group in Group:
        page.clear(group)
    hints.refresh()
    assert known(hints) == (None, IDENTITY, 0, None, 0)


def test_the_commit_index_is_loaded_anew_each_time(page: Page, hints: Hints) -> None:  # S10
    for commit in (CommitGroup(3, 7), CommitGroup(3, 8), CommitGroup(4, 8)):
        page.publish(Group.COMMIT, encode(commit))
        assert hints.commit() == commit
    page.clear(Group.COMMIT)
    assert hints.commit() is None


def test_the_lease_and_the_clock_are_looked_at_anew_each_time(page: Page, hints: Hints) -> None:  # S12
    for lease in (LeaseGroup(3, 20.0), LeaseGroup(3, 20.05)):
        page.publish(Group.LEASE, encode(lease))
        assert hints.lease() == lease
    page.clear(Group.LEASE)
    assert hints.lease() is None
    before = clock()
    assert before <= hints.now() <= clock()


def test_what_has_not_changed_is_not_decoded_again(page: Page, hints: Hints) -> None:
    page.publish(Group.IDENTITY, encode(IDENTITY))
    hints.refresh()
    first = hints.identity()
    page.publish(Group.IDENTITY, encode(IDENTITY))
    hints.refresh()
    assert hints.identity() is first


def test_what_is_published_while_it_is_loaded_is_found_the_next_time(  # S10, S12
    page: Page, hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, old, new = page.load, CommitGroup(3, 7), CommitGroup(3, 8)
    page.publish(Group.COMMIT, encode(old))

    def load_while_the_writer_goes_on(group: Group) -> bytes | None:
        found = load(group)
        page.publish(Group.COMMIT, encode(new))
        return found

    with monkeypatch.context() as during:
        during.setattr(page, "load", load_while_the_writer_goes_on)
        assert hints.commit() == old
    assert hints.commit() == new


def test_a_notice_is_words_whatever_its_bytes(page: Page, hints: Hints) -> None:
    page.publish(Group.NOTICE, b"no quorum \xff")
    assert hints.notice() == "no quorum \ufffd"


def test_a_term_that_was_told_and_is_not_known_is_looked_up_anew(page: Page, hints: Hints) -> None:
    assert hints.term(told=3) == 0
    page.publish(Group.ROLE, encode(ROLE))
    assert hints.term(told=0) == 0
    assert hints.term(told=3) == 3
    page.publish(Group.STORAGE, encode(msgspec.structs.replace(STORAGE, term=4)))
    assert hints.term(told=4) == 4
