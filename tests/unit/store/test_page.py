"""The page, alone and with a writer in another process."""

import multiprocessing
import os
import signal
import struct
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.waiting import wait_until
from zraft.errors import FatalError, InvariantViolated
from zraft.store.page import PAYLOAD_BYTES_MAX, Group, Page

SPAWN = multiprocessing.get_context("spawn")
HEADER_BYTES = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "page"


@pytest.fixture
def page(path: Path) -> Iterator[Page]:
    page = Page.create(path)
    yield page
    page.close()


def open_and_load(path: Path, group: Group) -> bytes | None:
    """What a process sees that maps the page only now."""
    page = Page.open(path)
    try:
        return page.load(group)
    finally:
        page.close()


def overwrite(path: Path, old: bytes, new: bytes, *, before: int = 0) -> None:
    """What a writer that was killed leaves: some bytes changed, starting `before` bytes before the payload `old`."""
    with path.open("r+b") as file:
        offset = file.read().index(old) - before
        file.seek(offset)
        file.write(new)


def test_nothing_is_published_on_a_fresh_page(page: Page) -> None:
    assert [page.load(group) for group in Group] == [None] * len(Group)


def test_a_page_belongs_to_its_user_alone(page: Page, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_newest_publication_is_loaded_through_every_map(page: Page, path: Path) -> None:
    for payload in (b"first", b"the second, longer", b"3"):
        page.publish(Group.COMMIT, payload)
        assert (page.load(Group.COMMIT), open_and_load(path, Group.COMMIT)) == (payload, payload)


def test_groups_do_not_overlap(page: Page) -> None:
    full = {group: bytes([65 + group]) * PAYLOAD_BYTES_MAX[group] for group in Group}
    for _ in range(2):  # both slots of each
        for group, payload in full.items():
            page.publish(group, payload)
    assert {group: page.load(group) for group in Group} == full


@pytest.mark.parametrize("group", Group)
def test_a_payload_over_the_capacity_is_refused_and_changes_nothing(page: Page, group: Group) -> None:
    page.publish(group, b"before")
    with pytest.raises(InvariantViolated, match="page-payload-fits"):
        page.publish(group, bytes(PAYLOAD_BYTES_MAX[group] + 1))
    assert page.load(group) == b"before"


def test_a_cleared_group_stays_empty_until_the_next_publication(page: Page, path: Path) -> None:
    page.publish(Group.ROLE, b"old")
    page.publish(Group.ROLE, b"leader of 3")
    page.clear(Group.ROLE)
    assert (page.load(Group.ROLE), open_and_load(path, Group.ROLE)) == (None, None)
    page.publish(Group.ROLE, b"leader of 4")
    assert page.load(Group.ROLE) == b"leader of 4"


def test_words_for_people_are_as_much_text_as_fits(page: Page) -> None:
    page.publish_words(Group.NOTICE, "waiting for é" * 1_000)
    assert page.words(Group.NOTICE).startswith("waiting for é" * 50)
    page.publish_words(Group.NOTICE, "")
    assert (page.words(Group.NOTICE), page.load(Group.NOTICE)) == ("", None)


def test_a_new_incarnation_clears_what_the_one_before_published(page: Page, path: Path) -> None:
    page.publish(Group.COMMIT, b"of the dead")
    successor = Page.open(path)
    successor.clear(Group.COMMIT)
    assert page.load(Group.COMMIT) is None
    successor.close()


@pytest.mark.parametrize("before", [0, HEADER_BYTES], ids=["payload", "header too"])
def test_a_writer_killed_half_way_leaves_the_value_before(page: Page, path: Path, before: int) -> None:
    page.publish(Group.COMMIT, b"A" * 40)
    page.publish(Group.COMMIT, b"B" * 40)
    overwrite(path, b"A" * 40, b"C" * 8, before=before)
    assert page.load(Group.COMMIT) == b"B" * 40
    page.publish(Group.COMMIT, b"D" * 40)
    page.publish(Group.COMMIT, b"E" * 40)
    assert page.load(Group.COMMIT) == b"E" * 40


def test_a_damaged_newest_slot_never_brings_the_older_one_back(page: Page, path: Path) -> None:
    page.publish(Group.COMMIT, b"A" * 40)
    page.publish(Group.COMMIT, b"B" * 40)
    overwrite(path, b"B" * 40, b"C")
    assert page.load(Group.COMMIT) is None
    page.publish(Group.COMMIT, b"D" * 40)
    assert page.load(Group.COMMIT) == b"D" * 40


def test_a_page_made_anew_leaves_the_old_map_alone(page: Page, path: Path) -> None:
    page.publish(Group.NODE, b"old")
    Page.create(path).close()
    assert (page.load(Group.NODE), open_and_load(path, Group.NODE)) == (b"old", None)


def test_a_page_of_another_layout_is_refused(path: Path) -> None:
    path.write_bytes(bytes(4096))
    with pytest.raises(FatalError, match="restart the whole node"):
        Page.open(path)


# A payload of the writers below is one number, repeated: torn, it holds two; and the numbers increase.


def publish_numbers(path: Path, group: Group, end: int) -> None:
    page = Page.open(path)
    words_max = PAYLOAD_BYTES_MAX[group] // 8
    for number, words in zip(range(1, end + 1), cycle((words_max, 1, words_max - 1, words_max // 2)), strict=False):
        page.publish(group, struct.pack("Q", number) * words)


def number_of(payload: bytes) -> int:
    numbers = set(struct.unpack(f"{len(payload) // 8}Q", payload))
    assert len(numbers) == 1, f"torn: {sorted(numbers)}"
    return int(numbers.pop())


@pytest.mark.parametrize(("group", "end"), [(Group.COMMIT, 300_000), (Group.IDENTITY, 30_000)])
def test_a_reader_never_sees_a_torn_or_a_decreasing_value(page: Page, path: Path, group: Group, end: int) -> None:
    writer = SPAWN.Process(target=publish_numbers, args=(path, group, end))
    writer.start()
    last = 0
    while writer.is_alive():
        for payload in filter(None, (page.load(group) for _ in range(100))):
            number = number_of(payload)
            assert number >= last
            last = number
    assert (writer.exitcode, number_of(page.load(group) or b"")) == (0, end)


@pytest.mark.parametrize("group", [Group.COMMIT, Group.IDENTITY])
def test_a_killed_writer_leaves_a_whole_value(page: Page, path: Path, group: Group) -> None:
    writer = SPAWN.Process(target=publish_numbers, args=(path, group, 1 << 62))
    writer.start()
    wait_until(lambda: page.load(group), 10, "the writer's first publication")
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    number = number_of(page.load(group) or b"")
    publish_numbers(path, group, 3)
    assert (number > 0, page.load(group)) == (True, struct.pack("Q", 3) * (PAYLOAD_BYTES_MAX[group] // 8 - 1))
