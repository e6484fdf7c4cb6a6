"""What storage owes until its log is committed: in which order, and when two answers are one."""

import pytest

from zraft.core.answers import Answers
from zraft.protocol.entries import EntryId
from zraft.protocol.local import Pong
from zraft.protocol.peer import AppendAnswer

FIRST, SECOND = AppendAnswer(3, True, 6, 5), AppendAnswer(3, True, 9, 4)


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_two_answers_that_say_the_same_of_a_longer_log_are_one(order: tuple[AppendAnswer, AppendAnswer]) -> None:
    answers = Answers[str]()
    for answer in order:
        answers.add("leader", answer)
    assert answers.take() == [("leader", AppendAnswer(3, True, 9, 5))]


@pytest.mark.parametrize(
    "other", [AppendAnswer(4, True, 9, 5), AppendAnswer(3, False, 0, 5, 9, EntryId(7, 2)), Pong(1, 0, False, 3)]
)
def test_answers_that_say_something_else_stay_apart(other: AppendAnswer | Pong) -> None:
    answers = Answers[str]()
    for answer in (FIRST, other, FIRST):
        answers.add("leader", answer)
    assert answers.take() == [("leader", FIRST), ("leader", other), ("leader", FIRST)]


def test_answers_to_two_leaders_stay_apart_and_in_their_order() -> None:
    answers = Answers[str]()
    for to, answer in (("old", FIRST), ("new", SECOND), ("old", SECOND)):
        answers.add(to, answer)
    assert answers.take() == [("old", FIRST), ("new", SECOND), ("old", SECOND)]


def test_what_was_told_is_owed_no_more() -> None:
    answers = Answers[str]()
    assert not answers
    answers.add("leader", FIRST)
    assert answers
    assert len(answers.take()) == 1
    assert not answers
    assert answers.take() == []
