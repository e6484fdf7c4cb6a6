"""Where the acceptor takes the configuration from: entries, as they come and go; a snapshot; the record (S14)."""

from tests.simulation.memory import MemoryLog
from tests.unit.core.cast import CONFIGURATION, A, B, C, D, entry, log_of, record_of
from zraft.core.acceptor import Acceptor
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, EntryId, EntryKind, Member, encode_entry
from zraft.protocol.local import Campaign
from zraft.protocol.peer import Append

FOUR = (*CONFIGURATION.members, Member(D, "node-4", False, "four:1"))
TWO = record_of(B, C).members


def configured(index: int, term: int, members: tuple[Member, ...]) -> bytes:
    return encode_entry(index, term, EntryKind.CONFIGURATION, payload=encode(members))


def append(acceptor: Acceptor, term: int, previous: EntryId, *entries: bytes, commit: int = 0) -> None:
    acceptor.step(Append(term, previous, entries, commit), B)


def test_a_configuration_is_in_force_when_it_is_appended() -> None:  # S14, trap 32
    acceptor = Acceptor(log_of(1))
    assert acceptor.configuration() == CONFIGURATION
    append(acceptor, 1, EntryId(1, 1), entry(2, 1), configured(3, 1, FOUR), entry(4, 1))
    assert acceptor.configuration() == Configuration(3, FOUR)
    assert acceptor.status().configuration == Configuration(3, FOUR)


def test_it_reverts_when_its_entry_is_truncated() -> None:  # S14
    acceptor = Acceptor(log_of(1))
    append(acceptor, 1, EntryId(1, 1), configured(2, 1, FOUR), configured(3, 1, TWO))
    append(acceptor, 2, EntryId(2, 1), entry(3, 2))
    assert acceptor.configuration() == Configuration(2, FOUR)
    append(acceptor, 3, EntryId(1, 1), entry(2, 3))
    assert acceptor.configuration() == CONFIGURATION


def test_a_repeated_append_changes_nothing() -> None:
    acceptor = Acceptor(log_of(1))
    append(acceptor, 1, EntryId(1, 1), configured(2, 1, FOUR), entry(3, 1))
    append(acceptor, 1, EntryId(1, 1), configured(2, 1, FOUR))
    assert acceptor.configuration() == Configuration(2, FOUR)


def test_an_uncommitted_one_outlives_a_restart() -> None:  # trap 33
    log = log_of(1)
    append(Acceptor(log), 1, EntryId(1, 1), configured(2, 1, FOUR))
    log.commit()
    log.crash()
    assert Acceptor(log).configuration() == Configuration(2, FOUR)


def test_of_those_that_are_committed_the_newest_is_kept() -> None:
    log = log_of(1)
    acceptor = Acceptor(log)
    append(acceptor, 1, EntryId(1, 1), configured(2, 1, FOUR), commit=2)
    append(acceptor, 1, EntryId(2, 1), configured(3, 1, CONFIGURATION.members), commit=3)
    append(acceptor, 1, EntryId(3, 1), configured(4, 1, TWO))
    assert [one.index for one in log.configurations] == [3, 4]


def test_what_no_version_can_read_changes_no_members() -> None:
    acceptor = Acceptor(log_of(1))
    append(acceptor, 1, EntryId(1, 1), encode_entry(2, 1, EntryKind.CONFIGURATION, payload=b"\xc1"))
    assert acceptor.configuration() == CONFIGURATION


def test_a_snapshot_brings_the_members_of_its_end() -> None:  # trap 37: else who was removed would return
    acceptor = Acceptor(log_of(1, 1))
    acceptor.install(EntryId(9, 2), 1, Configuration(7, FOUR))
    assert acceptor.configuration() == Configuration(7, FOUR)


def test_a_snapshot_keeps_what_the_log_has_behind_it() -> None:
    acceptor = Acceptor(log_of(1))
    append(acceptor, 1, EntryId(1, 1), configured(2, 1, FOUR), entry(3, 1), configured(4, 1, TWO))
    acceptor.install(EntryId(3, 1), 1, Configuration(2, FOUR))
    assert acceptor.configuration() == Configuration(4, TWO)


def test_a_snapshot_whose_members_never_changed_leaves_the_record() -> None:
    acceptor = Acceptor(log_of(1, 1))
    append(acceptor, 1, EntryId(2, 1), configured(3, 1, FOUR))
    acceptor.install(EntryId(9, 2), 1, None)
    assert acceptor.configuration() == CONFIGURATION


def campaigns(log: MemoryLog, applied: int = 0, commit: int = 0) -> bool:
    acceptor = Acceptor(log, applied)
    acceptor.commit = commit
    granted = acceptor.may_campaign()
    answer = acceptor.step(Campaign(9, 1), A)
    assert answer.message.granted == granted  # type: ignore[union-attr]
    return granted


def test_who_has_left_does_not_campaign_and_who_may_be_needed_does() -> None:  # traps 11, 39, [D] 4.2.2
    def log() -> MemoryLog:
        one = log_of(1)
        append(Acceptor(one), 1, EntryId(1, 1), configured(2, 1, TWO))
        one.commit()
        return one

    assert campaigns(log(), commit=1)
    assert not campaigns(log(), commit=2)
    assert campaigns(log_of(1, 1), commit=2)


def test_who_only_learns_does_not_campaign() -> None:  # trap 11
    assert not campaigns(log_of(1, record=record_of(A, B, C, learners=(A,))))
