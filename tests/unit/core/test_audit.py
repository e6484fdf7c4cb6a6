"""Comparing the digests of replicas: at the same index, by the voters' majority, each divergence told once."""

import pytest

from tests.simulation.memory import MemoryState
from tests.unit.core.cast import A, B, C, D, E, log_of
from tests.unit.core.replicating import TERM, streaming
from zraft.core.acceptor import Acceptor
from zraft.core.applier import Applier
from zraft.core.audit import CHECKPOINT_ENTRIES, INDEXES_MAX, Audit, Divergence, Verdict
from zraft.core.effects import Answer, Ignored, Send, ToStorage
from zraft.core.quorum import Quorum
from zraft.core.records import APPLIED, read_applied
from zraft.errors import OutOfSpace, StateDiverged
from zraft.protocol.codec import encode, pack_commands
from zraft.protocol.entries import EntryId, EntryKind, encode_entry
from zraft.protocol.peer import NO_CHECKPOINT, Append, AppendAnswer, Checkpoint, Diverged
from zraft.protocol.requests import Put

THREE = Quorum([A, B, C])
RIGHT, WRONG, OTHER = 111, 222, 333


def hear(audit: Audit, index: int, quorum: Quorum = THREE, /, **digests: int) -> list[Divergence]:
    members = {"a": A, "b": B, "c": C, "d": D, "e": E}
    heard = [audit.heard(members[name], Checkpoint(index, digest), quorum) for name, digest in digests.items()]
    return [found for found in heard if found is not None]


def test_replicas_that_agree_are_no_news() -> None:
    assert hear(Audit(), 256, a=RIGHT, b=RIGHT, c=RIGHT) == []


def test_who_differs_from_a_majority_is_named() -> None:
    digests = ((A, RIGHT), (B, WRONG), (C, RIGHT))
    assert hear(Audit(), 256, a=RIGHT, b=WRONG, c=RIGHT) == [Divergence(256, digests, RIGHT, (B,))]


def test_it_may_be_the_last_one_to_answer() -> None:
    digests = ((A, RIGHT), (B, RIGHT), (C, WRONG))
    assert hear(Audit(), 256, a=RIGHT, b=RIGHT, c=WRONG) == [Divergence(256, digests, RIGHT, (C,))]


def test_digests_of_different_indexes_are_never_compared() -> None:
    audit = Audit()
    assert hear(audit, 256, a=RIGHT) + hear(audit, 512, b=OTHER) + hear(audit, 768, c=WRONG) == []


def test_nobody_is_blamed_before_a_majority_agrees() -> None:
    assert hear(Audit(), 256, a=RIGHT, b=WRONG) == []


def test_without_a_majority_all_are_named() -> None:
    digests = ((A, RIGHT), (B, WRONG), (C, OTHER))
    assert hear(Audit(), 256, a=RIGHT, b=WRONG, c=OTHER) == [Divergence(256, digests, None, (A, B, C))]


def test_two_voters_that_differ_have_no_majority() -> None:
    digests = ((A, RIGHT), (B, WRONG))
    assert hear(Audit(), 256, Quorum([A, B]), a=RIGHT, b=WRONG) == [Divergence(256, digests, None, (A, B))]


def test_a_learner_is_compared_but_does_not_count() -> None:
    pair = Quorum([A, B])
    assert hear(Audit(), 256, pair, d=WRONG, e=WRONG, a=RIGHT) == []
    digests = ((A, RIGHT), (B, RIGHT), (D, WRONG), (E, WRONG))
    assert hear(Audit(), 256, pair, d=WRONG, e=WRONG, a=RIGHT, b=RIGHT) == [Divergence(256, digests, RIGHT, (D, E))]


def test_a_divergence_is_told_once_however_long_it_lasts() -> None:
    audit = Audit()
    assert len(hear(audit, 256, a=RIGHT, b=WRONG, c=RIGHT)) == 1
    assert hear(audit, 256, b=WRONG) == []
    assert hear(audit, 512, a=RIGHT, b=WRONG, c=RIGHT) == []


def test_a_member_that_was_made_whole_and_differs_again_is_told_again() -> None:
    audit = Audit()
    hear(audit, 256, a=RIGHT, b=WRONG, c=RIGHT)
    assert hear(audit, 512, a=RIGHT, b=RIGHT, c=RIGHT) == []
    assert len(hear(audit, 768, a=RIGHT, b=WRONG, c=RIGHT)) == 1


def test_agreement_at_an_older_index_ends_no_divergence() -> None:
    audit = Audit()
    hear(audit, 512, a=RIGHT, b=WRONG, c=RIGHT)
    hear(audit, 256, a=RIGHT, b=RIGHT, c=RIGHT)
    assert hear(audit, 768, a=RIGHT, b=WRONG, c=RIGHT) == []


def test_the_newest_indexes_are_remembered_and_no_more() -> None:
    audit = Audit()
    for number in range(1, INDEXES_MAX + 2):
        hear(audit, 256 * number, a=RIGHT)
    assert hear(audit, 256, b=WRONG, c=WRONG) == []  # what A said of it is forgotten
    assert len(hear(audit, 512, b=WRONG, c=WRONG)) == 1
    assert len(audit._told) == INDEXES_MAX


def test_no_checkpoint_says_nothing() -> None:
    audit = Audit()
    assert hear(audit, 0, a=0, b=0, c=0) == []
    assert not audit._told


# --- the verdict: who differs from a majority is to stop


def test_who_differs_is_to_be_told_until_it_agrees_again() -> None:
    audit = Audit()
    hear(audit, 256, a=RIGHT, b=WRONG, c=RIGHT)
    assert [audit.verdict(member) for member in (A, B, C)] == [None, Verdict(256, WRONG, RIGHT), None]
    hear(audit, 512, a=RIGHT, c=RIGHT, b=OTHER)
    assert audit.verdict(B) == Verdict(512, OTHER, RIGHT)
    hear(audit, 768, b=RIGHT, a=RIGHT, c=RIGHT)
    assert audit.verdict(B) is None


def test_without_a_majority_nobody_is_judged() -> None:
    audit = Audit()
    hear(audit, 256, a=RIGHT, b=WRONG, c=OTHER)
    assert [audit.verdict(member) for member in (A, B, C)] == [None, None, None]


def test_a_leader_tells_who_differs_with_each_of_its_answers() -> None:
    core = streaming(A, B, C)
    core.step(told(RIGHT), 10.0, A)
    core.step(told(RIGHT), 10.0, B)
    [_, verdict] = core.step(told(WRONG), 10.0, C)
    assert verdict == Send(C, Diverged(TERM, 256, WRONG, RIGHT))
    assert core.step(told(WRONG), 10.0, C) == [verdict]  # the first one may be lost
    assert core.step(told(RIGHT), 10.0, B) == []


def test_a_leader_that_differs_itself_tells_its_own_storage() -> None:
    core = streaming(A, B, C)
    core.step(told(RIGHT), 10.0, B)
    core.step(told(RIGHT), 10.0, C)
    [_, verdict] = core.step(told(WRONG), 10.0, A)
    assert verdict == ToStorage(Diverged(TERM, 256, WRONG, RIGHT))


# --- where a leader has it from, and a storage


def test_a_leader_hears_it_with_the_answers_to_its_appends() -> None:
    core = streaming(A, B, C)
    for member, digest in ((A, WRONG), (B, RIGHT)):
        assert core.step(told(digest), 10.0, member) == []
    found = Divergence(256, ((A, WRONG), (B, RIGHT), (C, RIGHT)), RIGHT, (A,))
    assert core.step(told(RIGHT), 10.0, C) == [found]


def verdict_on(checkpoint: Checkpoint, term: int = 1) -> Diverged:
    return Diverged(term, checkpoint.index, checkpoint.digest, OTHER)


def test_a_storage_stops_for_a_verdict_on_what_it_told() -> None:
    storage = Storage()
    storage.take(b"1", b"2")
    storage.applier.work(lambda: False)
    old = storage.tells()
    storage.take(b"3", b"4")
    storage.applier.work(lambda: False)
    assert storage.tells() != old
    words = f"the digest {old.digest:016x} at index 2, where a majority of the voters has {OTHER:016x}"
    with pytest.raises(StateDiverged, match=words):
        storage.acceptor.step(verdict_on(old), B)


def test_a_verdict_of_another_term_or_on_another_state_stops_nobody() -> None:
    storage = Storage()
    storage.take(b"1", b"2")
    storage.applier.work(lambda: False)
    checkpoint = storage.tells()
    for verdict in (
        verdict_on(checkpoint, term=2),
        verdict_on(Checkpoint(checkpoint.index, OTHER)),
        verdict_on(Checkpoint(4, checkpoint.digest)),
    ):
        assert isinstance(storage.acceptor.step(verdict, B), Ignored)


def test_a_verdict_on_the_state_before_an_installation_stops_nobody() -> None:
    storage = Storage()
    storage.take(b"1", b"2")
    storage.applier.work(lambda: False)
    checkpoint = storage.tells()
    storage.acceptor.install(EntryId(9, 1), 2, None)
    assert isinstance(storage.acceptor.step(verdict_on(checkpoint), B), Ignored)


def told(digest: int) -> AppendAnswer:
    return AppendAnswer(TERM, True, 6, 6, checkpoint=Checkpoint(256, digest))


class Storage:
    """Member A, led by B, with a checkpoint at every second entry."""

    def __init__(self) -> None:
        self.log = log_of()
        self.state = MemoryState()
        self.acceptor = Acceptor(self.log)
        self.applier = Applier(self.log, self.state, self.acceptor, checkpoint_entries=2)
        self.last = 0

    def take(self, *values: bytes) -> None:
        entries = tuple(
            encode_entry(index, 1, EntryKind.COMMANDS, payload=pack_commands([encode(Put(b"k", value))]))
            for index, value in enumerate(values, self.last + 1)
        )
        previous = EntryId(self.last, 1 if self.last else 0)
        self.last += len(values)
        self.acceptor.step(Append(1, previous, entries, self.last), B)
        self.log.commit()

    def tells(self) -> Checkpoint:
        answer = self.acceptor.step(Append(1, EntryId(self.last, 1), (), self.last), B)
        assert isinstance(answer, Answer)
        assert isinstance(answer.message, AppendAnswer)
        return answer.message.checkpoint


def test_a_storage_tells_the_digest_that_its_state_had_at_the_checkpoint() -> None:
    storage, other = Storage(), Storage()
    storage.take(b"1", b"2", b"3")
    storage.applier.work(lambda: False)
    other.take(b"1", b"2")
    other.applier.work(lambda: False)
    state = read_applied(other.state.meta(APPLIED))
    assert storage.tells() == other.tells() == Checkpoint(2, state.digest)


def test_what_is_not_published_is_not_told() -> None:
    storage = Storage()
    storage.take(b"1", b"2")
    storage.applier.work(lambda: True)
    assert storage.tells() == NO_CHECKPOINT
    storage.applier.work(lambda: False)
    assert storage.tells().index == 2


def test_what_was_taken_back_for_want_of_room_is_not_told() -> None:
    storage = Storage()
    storage.take(b"1", b"2", b"3")

    def full_after_the_checkpoint() -> bool:
        if storage.applier.done > 2:
            raise OutOfSpace("the disk is full")
        return False

    with pytest.raises(OutOfSpace):
        storage.applier.work(full_after_the_checkpoint)
    storage.applier.forget()
    assert storage.applier._checkpoint == storage.tells() == NO_CHECKPOINT


def test_an_installed_state_begins_without_a_checkpoint() -> None:
    storage = Storage()
    storage.take(b"1", b"2")
    storage.applier.work(lambda: False)
    assert storage.tells() != NO_CHECKPOINT
    storage.acceptor.install(EntryId(9, 1), 2, None)
    assert storage.acceptor.checkpoint == NO_CHECKPOINT


def test_checkpoints_are_far_apart_by_default() -> None:
    storage = Storage()
    storage.applier = Applier(storage.log, storage.state, storage.acceptor)
    storage.take(*[b"v"] * (CHECKPOINT_ENTRIES - 1))
    storage.applier.work(lambda: False)
    assert storage.tells() == NO_CHECKPOINT
    storage.take(b"v")
    storage.applier.work(lambda: False)
    assert storage.tells().index == CHECKPOINT_ENTRIES
