"""The check of the workload's account, which must see what it is there for."""

import pytest

from tests.cluster.load import Account, Outcome, Write, faults_of
from zraft.protocol.client import KeyValue

ACKNOWLEDGED, UNKNOWN, NOT_EXECUTED = Outcome

FIRST = KeyValue(b"k", b"1", 5, 5, 1)
SECOND = KeyValue(b"k", b"2", 5, 6, 2)


def write(number: int, outcome: Outcome, revision: int = 0, floor: int = 0, expected: int | None = None) -> Write:
    return Write(0, b"k", str(number).encode(), floor, expected, outcome, revision)


def faults(*writes: Write, found: list[KeyValue]) -> list[str]:
    return list(faults_of(Account(list(writes)), {b"k": found}))


def test_what_was_told_and_is_so_is_no_fault() -> None:
    account = Account([write(1, ACKNOWLEDGED, 5, 4, 0), write(2, ACKNOWLEDGED, 6, 5, 5)], [(6, 6), (6, 9)])
    assert list(faults_of(account, {b"k": [FIRST, SECOND]})) == []


def test_a_write_of_unknown_outcome_may_be_there_or_not() -> None:
    assert faults(write(1, ACKNOWLEDGED, 5), write(2, UNKNOWN), write(3, UNKNOWN), found=[FIRST, SECOND]) == []


def test_an_unknown_write_may_come_after_a_later_one_that_was_acknowledged() -> None:
    assert faults(write(2, UNKNOWN), write(1, ACKNOWLEDGED, 5), found=[FIRST, SECOND]) == []


def test_an_overwritten_write_that_was_lost_is_found() -> None:
    lost = write(3, ACKNOWLEDGED, 4)
    expected = ["k: acknowledged at revision 4, and lost"]
    assert faults(lost, write(1, ACKNOWLEDGED, 5), write(2, ACKNOWLEDGED, 6), found=[FIRST, SECOND]) == expected


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (write(2, NOT_EXECUTED), "executed, and its writer was told that it was not"),
        (write(2, ACKNOWLEDGED, 7), "its writer was told revision 7"),
        (write(2, UNKNOWN, floor=6), "it was invoked when revision 6 had been told"),
        (write(2, UNKNOWN, expected=4), "it expected revision 4, and 5 was there"),
        (write(3, UNKNOWN), "nobody wrote b'2' there"),
    ],
)
def test_a_version_that_should_not_be_there_is_found(second: Write, fault: str) -> None:
    first = write(1, ACKNOWLEDGED, 5)
    assert faults(first, second, found=[FIRST, SECOND]) == [f"k at revision 6: {fault}"]


def test_a_write_that_was_executed_twice_is_found() -> None:  # trap 55
    again = KeyValue(b"k", b"1", 5, 6, 2)
    expected = ["k at revision 6: executed already at revision 5"]
    assert faults(write(1, ACKNOWLEDGED, 5), found=[FIRST, again]) == expected


def test_a_revision_that_repeats_is_found() -> None:
    other = Write(0, b"l", b"3", 0)
    found = {b"k": [FIRST], b"l": [KeyValue(b"l", b"3", 5, 5, 1)]}
    account = Account([write(1, ACKNOWLEDGED, 5), other])
    assert list(faults_of(account, found)) == ["l at revision 5: this revision is another key's as well"]


def test_a_missing_version_is_found() -> None:
    third = KeyValue(b"k", b"2", 5, 6, 3)
    expected = ["k at revision 6: version 3 is number 2, behind revision 5"]
    assert faults(write(1, ACKNOWLEDGED, 5), write(2, ACKNOWLEDGED, 6), found=[FIRST, third]) == expected


def test_a_stale_read_is_found() -> None:  # trap 40
    account = Account(reads=[(6, 5)])
    assert list(faults_of(account, {})) == ["a read saw revision 5 when 6 had been told"]
