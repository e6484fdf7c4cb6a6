"""When storage tells election of the members: after each change of what is in force, and of whether it is committed."""

from tests.unit.core.cast import A, B, C, D, log_of, record_of
from zraft.core.acceptor import Acceptor
from zraft.core.belonging import Told
from zraft.protocol.codec import encode
from zraft.protocol.entries import NO_ORIGIN, Configuration, EntryId, EntryKind, Member, encode_entry
from zraft.protocol.peer import Append, Commit

FOUR = (*record_of(A, B, C).members, Member(D, "node-4"))


def joins(index: int, term: int) -> bytes:
    return encode_entry(index, term, EntryKind.CONFIGURATION, NO_ORIGIN, encode(FOUR))


def test_news_is_what_is_appended_committed_or_truncated_and_is_told_once() -> None:
    log = log_of(1, 1)
    log.set_record(record_of(A, B, C), formed=True)
    acceptor = Acceptor(log)
    told = Told(acceptor)
    first = acceptor.configuration()
    assert told.news() is None

    def known() -> list[tuple[Configuration, int]]:
        return [(news.configuration, news.commit) for news in (told.news(), told.news()) if news is not None]

    acceptor.step(Append(2, EntryId(2, 1), (joins(3, 2),), 2), B)
    assert known() == [(Configuration(3, FOUR), 2)]
    acceptor.step(Append(3, EntryId(2, 1), (encode_entry(3, 3, EntryKind.EMPTY), joins(4, 3)), 2), C)
    assert known() == [(Configuration(4, FOUR), 2)]
    acceptor.step(Append(4, EntryId(3, 3), (encode_entry(4, 4, EntryKind.EMPTY),), 2), B)
    assert known() == [(first, 2)]
    acceptor.step(Append(4, EntryId(4, 4), (joins(5, 4),), 4), B)
    assert known() == [(Configuration(5, FOUR), 4)]
    acceptor.step(Commit(4, 5), B)
    assert known() == [(Configuration(5, FOUR), 5)]
    assert told.news() is None
