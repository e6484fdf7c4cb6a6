"""The acceptor, rule by rule. Each test reads: a log, a message, the whole answer, the log after it."""

import pytest

from tests.simulation.memory import MemoryLog
from tests.unit.core.cast import (
    CONFIGURATION,
    NOBODY,
    THREE,
    A,
    B,
    C,
    entries,
    entry,
    log_of,
    record_of,
    terms_in,
)
from zraft.core.acceptor import HINT_ENTRIES_MAX, NO_CONFIGURATION, Acceptor
from zraft.core.effects import Answer, Ignored
from zraft.core.versions import SUPPORTED
from zraft.errors import InvariantViolated
from zraft.protocol.entries import ClusterRecord, EntryId
from zraft.protocol.local import (
    Campaign,
    CampaignAnswer,
    StatusQuery,
    StorageStatus,
    StoreRecord,
    VoteQuery,
    VoteQueryAnswer,
)
from zraft.protocol.peer import Append, AppendAnswer, Commit


def vote(term: int, candidate: int, last: EntryId = NOBODY, durable: bool = True) -> VoteQuery:
    return VoteQuery(term, candidate, ballot=1, last=last, durable=durable)


def granted(term: int, candidate: int, durable: bool = True, storage_term: int | None = None) -> object:
    told = term if storage_term is None else storage_term
    return Answer(VoteQueryAnswer(term, candidate, 1, durable, True, told))


def refused(term: int, candidate: int, storage_term: int, durable: bool = True) -> object:
    return Answer(VoteQueryAnswer(term, candidate, 1, durable, False, storage_term))


def append(term: int, previous: EntryId, *terms: int, commit: int = 0) -> Append:
    return Append(term, previous, entries(previous.index + 1, *terms), commit)


def matched(term: int, match: int, commit: int = 0, probe: int = 0) -> object:
    return Answer(AppendAnswer(term, True, match, commit, probe, version=SUPPORTED))


# --- campaigns: "increment currentTerm, vote for self" ([R] 5.2)


def test_a_campaign_takes_the_term_and_the_own_vote() -> None:
    log = log_of(1, 2)
    answer = Acceptor(log).step(Campaign(3, ballot=7), A)
    assert answer == Answer(CampaignAnswer(3, 7, True, 3, EntryId(2, 2), CONFIGURATION))
    assert (log.term, log.vote) == (3, A)


@pytest.mark.parametrize("term", [1, 2])
def test_a_campaign_needs_a_term_above_storages(term: int) -> None:
    log = log_of(term=2, vote=B)
    answer = Acceptor(log).step(Campaign(term, ballot=1), A)
    assert answer == Answer(CampaignAnswer(term, 1, False, 2, NOBODY, CONFIGURATION))
    assert (log.term, log.vote) == (2, B)


@pytest.mark.parametrize("record", [record_of(B, C), record_of(A, B, C, learners=(A,))], ids=["stranger", "learner"])
def test_who_does_not_vote_does_not_campaign(record: ClusterRecord) -> None:  # trap 11
    log = log_of(term=2, record=record)
    answer = Acceptor(log).step(Campaign(3, ballot=1), A)
    assert answer == Answer(CampaignAnswer(3, 1, False, 2, NOBODY, record.configuration()))
    assert (log.term, log.vote) == (2, 0)


def test_term_and_vote_outlive_a_crash_behind_the_commit_and_only_there() -> None:  # trap 1
    # "Updated on stable storage before responding to RPCs" ([R] figure 2): the caller answers after the commit.
    log = log_of(term=2)
    acceptor = Acceptor(log)
    acceptor.step(vote(3, B), A)
    log.crash()
    assert (log.term, log.vote) == (2, 0)
    acceptor.step(vote(3, B), A)
    log.commit()
    log.crash()
    assert Acceptor(log).step(vote(3, C), A) == refused(3, C, storage_term=3)


# --- votes


@pytest.mark.parametrize(
    ("last", "up_to_date"),
    [
        (EntryId(3, 2), True),
        (EntryId(4, 2), True),
        (EntryId(1, 3), True),  # "the log with the later term is more up-to-date" ([R] 5.4.1)
        (EntryId(2, 2), False),  # "whichever log is longer"
        (EntryId(9, 1), False),
        (NOBODY, False),
    ],
)
def test_a_vote_goes_to_logs_that_are_up_to_date_only(last: EntryId, up_to_date: bool) -> None:
    log = log_of(1, 2, 2)
    answer = Acceptor(log).step(vote(4, B, last), A)
    assert answer == (granted(4, B) if up_to_date else refused(4, B, storage_term=2))
    assert (log.term, log.vote) == ((4, B) if up_to_date else (2, 0))


def test_there_is_one_vote_a_term_and_it_may_be_repeated() -> None:  # trap 3
    log = log_of(term=2)
    acceptor = Acceptor(log)
    assert acceptor.step(vote(3, B), A) == granted(3, B)
    assert acceptor.step(vote(3, C), A) == refused(3, C, storage_term=3)
    assert acceptor.step(vote(3, B), A) == granted(3, B)
    assert (log.term, log.vote) == (3, B)


def test_a_candidate_has_given_its_vote_to_itself() -> None:  # traps 2, 3
    log = log_of(term=2)
    acceptor = Acceptor(log)
    acceptor.step(Campaign(3, ballot=1), A)
    assert acceptor.step(vote(3, B), A) == refused(3, B, storage_term=3)


def test_no_vote_in_an_older_term() -> None:
    log = log_of(term=3)
    assert Acceptor(log).step(vote(2, B), A) == refused(2, B, storage_term=3)
    assert (log.term, log.vote) == (3, 0)


@pytest.mark.parametrize(("term", "candidate", "would"), [(3, B, True), (3, C, False), (4, C, True), (2, B, False)])
def test_a_pre_vote_asks_the_same_and_changes_nothing(term: int, candidate: int, would: bool) -> None:  # [D] 9.6
    log = log_of(term=3, vote=B)
    answer = Acceptor(log).step(vote(term, candidate, durable=False), A)
    assert answer == Answer(VoteQueryAnswer(term, candidate, 1, False, would, 3))
    assert (log.term, log.vote) == (3, B)


# --- AppendEntries ([R] 5.3)


def test_entries_are_appended_behind_the_matching_one() -> None:
    log = log_of(1, 1)
    assert Acceptor(log).step(append(2, EntryId(2, 1), 2, 2), B) == matched(2, 4, probe=2)
    assert (log.term, log.vote, terms_in(log)) == (2, 0, [1, 1, 2, 2])


def test_an_answer_covers_what_the_append_carried_and_no_more() -> None:  # S2
    # Entries 3 and 4 may be another leader's: nobody compared them.
    log = log_of(1, 1, 1, 1)
    acceptor = Acceptor(log)
    assert acceptor.step(append(2, EntryId(1, 1), 1), B) == matched(2, 2, probe=1)
    assert acceptor.step(append(2, EntryId(1, 1)), B) == matched(2, 1, probe=1)
    assert terms_in(log) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "told",
    [vote(2, B, EntryId(9, 1)), append(2, EntryId(3, 1), commit=2), Campaign(2, 1)],
    ids=["votes", "follows", "campaigns"],
)
def test_a_term_that_rises_takes_no_entry_with_it(told: VoteQuery | Append | Campaign) -> None:  # trap 17
    """What a deposed leader, or a follower, does not know to be committed may be, as others count its copy."""
    log = log_of(1, 1, 1, 1, 1, term=1)
    acceptor = Acceptor(log, applied=2)
    acceptor.step(told, B if isinstance(told, Append) else A)
    assert (log.term, log.last, acceptor.commit) == (2, EntryId(5, 1), 2)


def test_a_delayed_append_erases_nothing() -> None:  # trap 15
    # "If an existing entry conflicts with a new one": only then, [R] figure 2.
    log = log_of(1, term=2)
    acceptor = Acceptor(log)
    acceptor.step(append(2, EntryId(1, 1), 2, 2, 2), B)
    assert acceptor.step(append(2, EntryId(1, 1), 2), B) == matched(2, 2, probe=1)
    assert acceptor.step(append(2, EntryId(1, 1), 2, 2, 2), B) == matched(2, 4, probe=1)
    assert terms_in(log) == [1, 2, 2, 2]


def test_a_conflicting_entry_goes_with_all_that_follow_it() -> None:
    log = log_of(1, 2, 2, 2)
    assert Acceptor(log).step(append(3, EntryId(1, 1), 2, 3), B) == matched(3, 3, probe=1)
    assert terms_in(log) == [1, 2, 3]


def test_an_append_half_of_which_is_known_adds_the_other_half() -> None:
    log = log_of(1, 1)
    assert Acceptor(log).step(append(1, EntryId(1, 1), 1, 1), B) == matched(1, 3, probe=1)
    assert terms_in(log) == [1, 1, 1]


def test_a_log_that_is_too_short_says_where_it_ends() -> None:
    log = log_of(1, 1)
    answer = Acceptor(log).step(append(3, EntryId(5, 2), 3), B)
    assert answer == Answer(AppendAnswer(3, False, 0, 0, probe=5, conflict=EntryId(3, 0), version=SUPPORTED))
    assert (log.term, terms_in(log)) == (3, [1, 1])


def test_a_conflict_names_the_first_index_of_its_term() -> None:
    # "the term of the conflicting entry and the first index it stores for that term" ([R] 5.3)
    log = log_of(1, 2, 2, 2)
    answer = Acceptor(log).step(append(4, EntryId(4, 3), 4), B)
    assert answer == Answer(AppendAnswer(4, False, 0, 0, probe=4, conflict=EntryId(2, 2), version=SUPPORTED))
    assert terms_in(log) == [1, 2, 2, 2]


def test_the_hint_is_not_looked_for_without_end() -> None:
    last = HINT_ENTRIES_MAX + 500
    answer = Acceptor(log_of(*[2] * last)).step(append(4, EntryId(last, 3), 4), B)
    assert answer == Answer(AppendAnswer(4, False, 0, 0, last, EntryId(500, 2), version=SUPPORTED))


def test_the_hint_does_not_go_back_behind_the_commit_index() -> None:
    log = log_of(2, 2, 2, 2)
    answer = Acceptor(log, applied=2).step(append(4, EntryId(4, 3)), B)
    assert answer == Answer(AppendAnswer(4, False, 0, 2, probe=4, conflict=EntryId(3, 2), version=SUPPORTED))


def test_an_old_leader_is_refused_with_the_term() -> None:
    # "Reply false if term < currentTerm" ([R] figure 2)
    log = log_of(1, 1, term=3, vote=C)
    answer = Acceptor(log).step(append(2, EntryId(2, 1), 2), B)
    assert answer == Answer(AppendAnswer(3, False, 0, 0, probe=2, version=SUPPORTED))
    assert (log.term, log.vote, terms_in(log)) == (3, C, [1, 1])


def test_a_new_leader_brings_its_term_and_the_vote_is_free() -> None:
    log = log_of(1, term=2, vote=C)
    Acceptor(log).step(append(3, EntryId(1, 1)), B)
    assert (log.term, log.vote) == (3, 0)


def test_the_vote_stays_within_its_term() -> None:  # traps 1, 3
    log = log_of(1, term=2, vote=B)
    Acceptor(log).step(append(2, EntryId(1, 1)), B)
    assert (log.term, log.vote) == (2, B)


@pytest.mark.parametrize(
    "damaged",
    [entry(2, 2, b"x")[:-1] + b"y", entry(3, 2), entry(2, 2)[:10], b"", entry(2, 3)],
    ids=["flipped", "wrong place", "cut off", "empty", "of a later term"],
)
def test_damaged_entries_change_nothing(damaged: bytes) -> None:  # trap 29
    log = log_of(1, term=1)
    answer = Acceptor(log).step(Append(2, EntryId(1, 1), (damaged,), 0), B)
    assert answer == Ignored(f"entry 2 was damaged on its way from {B:016x}")
    assert (log.term, terms_in(log)) == (1, [1])


def test_a_term_has_one_leader() -> None:  # trap 2
    acceptor = Acceptor(log_of(1))
    acceptor.step(append(2, EntryId(1, 1)), B)
    with pytest.raises(InvariantViolated, match="election safety"):
        acceptor.step(append(2, EntryId(1, 1)), C)


@pytest.mark.parametrize("voted", [0, B])
def test_an_own_append_needs_the_own_vote(voted: int) -> None:  # trap 2
    acceptor = Acceptor(log_of(1, term=2, vote=voted))
    with pytest.raises(InvariantViolated, match="own Append has own vote"):
        acceptor.step(append(2, EntryId(1, 1)), A)


def test_the_own_leaders_append_is_like_any_other() -> None:  # S6: its copy counts by the same answer
    log = log_of(1, term=2, vote=A)
    assert Acceptor(log).step(append(2, EntryId(1, 1), 2), A) == matched(2, 2, probe=1)
    assert (log.term, log.vote, terms_in(log)) == (2, A, [1, 2])


# --- the commit index


@pytest.mark.parametrize(("commit", "follows"), [(1, 1), (3, 3), (4, 3), (9, 3)])
def test_the_commit_index_is_followed_as_far_as_was_verified(commit: int, follows: int) -> None:  # S3, trap 16
    # Entries 4 and 5 are in the log, but this leader has not vouched for them.
    acceptor = Acceptor(log_of(1, 1, 1, 1, 1))
    assert acceptor.step(append(2, EntryId(1, 1), 1, 1, commit=commit), B) == matched(2, 3, follows, probe=1)
    assert acceptor.commit == follows


@pytest.mark.parametrize(("commit", "follows"), [(1, 1), (3, 3), (4, 3), (9, 3)])
def test_a_bare_commit_index_is_followed_without_an_answer(commit: int, follows: int) -> None:  # S3, trap 16
    acceptor = Acceptor(log_of(1, 1, 1, 1, 1))
    acceptor.step(append(2, EntryId(1, 1), 1, 1), B)
    assert acceptor.step(Commit(2, commit), B) is None
    assert acceptor.commit == follows


def test_a_commit_index_of_another_term_is_ignored() -> None:
    acceptor = Acceptor(log_of(1, 1))
    acceptor.step(append(2, EntryId(2, 1)), B)
    assert acceptor.step(Commit(1, 2), B) == Ignored("commit of term 1 in term 2")
    assert acceptor.step(Commit(3, 2), B) == Ignored("commit of term 3 in term 2")
    assert acceptor.commit == 0


@pytest.mark.parametrize("rise", [vote(3, C, EntryId(3, 1)), Campaign(3, 1)], ids=["vote", "campaign"])
def test_what_was_verified_is_forgotten_when_the_term_rises(rise: VoteQuery | Campaign) -> None:  # S3, traps 14, 18
    acceptor = Acceptor(log_of(1, 1, 1))
    acceptor.step(append(2, EntryId(3, 1)), B)
    acceptor.step(rise, A)
    acceptor.step(Commit(3, 3), C)
    assert acceptor.commit == 0


def test_what_was_verified_is_forgotten_with_the_process() -> None:  # S3
    log = log_of(1, 1, term=2)
    Acceptor(log).step(append(2, EntryId(2, 1)), B)
    acceptor = Acceptor(log)
    acceptor.step(Commit(2, 2), B)
    assert acceptor.commit == 0


def test_a_new_leaders_append_verifies_only_itself() -> None:  # S3, trap 18: A B A, the same index in three terms
    acceptor = Acceptor(log_of(1))
    acceptor.step(append(2, EntryId(1, 1), 2, 2), B)
    assert acceptor.step(append(3, EntryId(1, 1), 3, commit=3), C) == matched(3, 2, 2, probe=1)


def test_the_commit_index_never_goes_back() -> None:  # trap 13
    acceptor = Acceptor(log_of(1, 1, 1))
    acceptor.step(append(2, EntryId(3, 1), commit=3), B)
    assert acceptor.step(append(2, EntryId(1, 1), commit=1), B) == matched(2, 1, 3, probe=1)
    acceptor.step(Commit(2, 2), B)
    assert acceptor.commit == 3
    assert acceptor.step(append(3, EntryId(3, 1), commit=0), C) == matched(3, 3, 3, probe=3)


def test_after_a_restart_what_was_applied_is_committed() -> None:  # trap 22
    acceptor = Acceptor(log_of(1, 1, 1), applied=2)
    assert (acceptor.applied, acceptor.commit) == (2, 2)


def test_a_committed_entry_is_never_replaced() -> None:
    acceptor = Acceptor(log_of(1, 1, 1))
    acceptor.step(append(2, EntryId(3, 1), commit=2), B)
    with pytest.raises(InvariantViolated, match="committed entries stay"):
        acceptor.step(append(3, EntryId(1, 1), 3), C)


@pytest.mark.parametrize("index", [1, 4])
def test_applied_moves_forward_up_to_the_commit_index(index: int) -> None:
    acceptor = Acceptor(log_of(1, 1, 1, 1), applied=2)
    acceptor.step(append(2, EntryId(3, 1), commit=3), B)
    acceptor.applied_to(3)
    with pytest.raises(InvariantViolated, match="applied <= commit"):
        acceptor.applied_to(index)


# --- the index-0 record, and status


def test_the_record_is_stored_once_and_marked_as_formed_later() -> None:  # trap 36
    log = MemoryLog(A)
    acceptor = Acceptor(log)
    assert acceptor.step(StatusQuery(), A) == Answer(
        StorageStatus(A, 0, 0, NOBODY, None, False, NO_CONFIGURATION, may_campaign=False)
    )
    stored = StorageStatus(A, 0, 0, NOBODY, THREE, False, CONFIGURATION)
    assert acceptor.step(StoreRecord(THREE, formed=False), A) == Answer(stored)
    formed = StorageStatus(A, 0, 0, NOBODY, THREE, True, CONFIGURATION)
    assert acceptor.step(StoreRecord(THREE, formed=True), A) == Answer(formed)
    assert acceptor.step(StoreRecord(THREE, formed=False), A) == Answer(formed)
    with pytest.raises(InvariantViolated, match="one index-0 record in a life"):
        acceptor.step(StoreRecord(record_of(A, B), formed=True), A)


def test_status_tells_what_the_log_holds() -> None:
    acceptor = Acceptor(log_of(1, 2, term=4, vote=C))
    assert acceptor.step(StatusQuery(), A) == Answer(StorageStatus(A, 4, C, EntryId(2, 2), THREE, True, CONFIGURATION))


# --- invariants


def test_a_log_that_lost_what_was_applied_is_found_out() -> None:  # traps 21, 22
    with pytest.raises(InvariantViolated, match="applied <= commit <= last"):
        Acceptor(log_of(1), applied=2).check_invariants()


def test_a_log_ahead_of_its_term_is_found_out() -> None:  # trap 1
    with pytest.raises(InvariantViolated, match=r"last\.term <= term"):
        Acceptor(log_of(1, 3, term=2)).check_invariants()
