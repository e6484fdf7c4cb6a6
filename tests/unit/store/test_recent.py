"""The newest entries of the log, kept in memory: always what the log itself holds."""

import pytest
from hypothesis import given, strategies as st

from zraft.store import recent
from zraft.store.recent import Recent

EVERYTHING = 1 << 30


def test_entries_come_back_as_they_were_added() -> None:
    kept = Recent()
    kept.add(5, [b"a", b"b"])
    kept.add(7, [b"c"])
    assert kept.take(5, EVERYTHING) == [b"a", b"b", b"c"]
    assert kept.take(6, 1) == [b"b"]  # at least one
    assert kept.take(6, 2) == [b"b", b"c"]
    assert kept.take(8, EVERYTHING) == kept.take(4, EVERYTHING) == []


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_BYTES_MAX", 4)
    kept = Recent()
    kept.add(1, [b"aa", b"bb", b"cc"])
    assert kept.take(1, EVERYTHING) == []
    assert kept.take(2, EVERYTHING) == [b"bb", b"cc"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40))
def test_it_holds_a_suffix_of_the_log(steps: list[tuple[bool, int]]) -> None:
    log: list[bytes] = []
    kept = Recent()
    for number, (cut, count) in enumerate(steps):
        if cut:
            del log[len(log) - min(count, len(log)) :]
            kept.truncate(len(log) + 1)
        else:
            new = [b"%d/%d" % (number, place) for place in range(count)]
            kept.add(len(log) + 1, new)
            log += new
        for first in range(1, len(log) + 2):
            assert kept.take(first, EVERYTHING) == log[first - 1 :]
