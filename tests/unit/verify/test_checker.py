"""Histories that a careful reader can judge: what is right is accepted, and each kind of wrong is found and named."""

import pytest

from tests.unit.verify.told import A, B, batch, delete, get, lost, operation, put, refused, scan, violations
from zraft.verify import Command, HistoryError, Item, Operation, Result, check
from zraft.verify.history import FAILED, UNKNOWN

REFUSAL = Result(success=False, revision=1, mod_revision=1)


def torn_batch(begin: int, end: int, *results: Result) -> Operation:
    """Two puts, the second with a condition, with answers that may not fit."""
    commands = (Command("put", A, "2"), Command("put", B, "3", expected=9))
    revision = results[-1].revision
    result = Result(revision=revision, results=results)
    return operation(begin, end, "batch", commands=commands, revision=revision, result=result)


RIGHT = {
    "one after the other": [
        put(1, 2, A, "1", 1),
        get(3, 4, A, 1, ("1", 1, 1, 1)),
        delete(5, 6, A, 2),
        get(7, 8, A, 2, None),
        put(9, 10, A, "2", 3),
        get(11, 12, A, 3, ("2", 3, 3, 1)),
    ],
    "a read may see a write that is under way, or not": [
        put(1, 10, A, "1", 1),
        get(2, 3, A, 0, None),
        get(4, 5, A, 1, ("1", 1, 1, 1)),
    ],
    "an unknown write that never was": [lost(1, 2, A, "1"), get(3, 4, A, 0, None)],
    "an unknown write that came late": [
        lost(1, 2, A, "1"),
        put(3, 4, A, "2", 1),
        get(5, 6, A, 1, ("2", 1, 1, 1)),
        get(7, 8, A, 2, ("1", 1, 2, 2)),
    ],
    "an unknown write that nobody saw, but for a version": [
        put(1, 2, A, "1", 1),
        lost(3, 4, A, "2"),
        put(5, 6, A, "3", 3),
        get(7, 8, A, 3, ("3", 1, 3, 3)),
    ],
    "an unknown delete that nobody saw, but for a creation": [
        put(1, 2, A, "1", 1),
        operation(3, 4, "delete", key=A, outcome=UNKNOWN),
        put(5, 6, A, "2", 3),
        get(7, 8, A, 3, ("2", 3, 3, 1)),
    ],
    "a refusal": [put(1, 2, A, "1", 1), refused(3, 4, A, "2", 0, 1, 1), put(5, 6, A, "3", 2, expected=1)],
    "a view of the past, and one of a node that lags": [
        put(1, 2, A, "1", 1),
        put(3, 4, A, "2", 2),
        get(5, 6, A, 2, ("1", 1, 1, 1), at=1),
        scan(7, 8, 1, Item(A, "1", 1, 1, 1), serializable=True),
    ],
    "a batch seen whole": [
        batch(1, 9, (A, "1", 1), (B, "2", 2)),
        scan(2, 3, 0),
        scan(4, 5, 2, Item(A, "1", 1, 1, 1), Item(B, "2", 2, 2, 1)),
    ],
    "revisions of others": [put(1, 2, A, "1", 5), put(3, 4, A, "2", 9), get(5, 6, A, 20, ("2", 5, 9, 2))],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_be_is_accepted(name: str) -> None:
    assert violations(*RIGHT[name]) == []


ONE = put(1, 2, A, "1", 1)
TWO = put(3, 4, A, "2", 2)

WRONG = {
    "a stale read": (  # trap 40
        [ONE, TWO, get(5, 6, A, 1, ("1", 1, 1, 1))],
        "an answer is from revision 1 when 2 had been told already",
    ),
    "a stale value in a fresh view": (
        [ONE, TWO, get(5, 6, A, 2, ("1", 1, 1, 1))],
        "p/a: read at revision 2 fits nothing that may have been before it",
    ),
    "a lost write": (
        [ONE, TWO, get(5, 6, A, 2, None)],
        "p/a: read at revision 2 fits nothing that may have been before it",
    ),
    "a lost write of the past": (
        [ONE, TWO, put(5, 6, A, "3", 3), get(7, 8, A, 3, ("1", 1, 1, 1), at=2)],
        "p/a: read at revision 2 fits nothing that may have been before it",
    ),
    "a lost write that only the version shows": (
        [ONE, TWO, put(5, 6, A, "3", 3), get(7, 8, A, 3, ("3", 1, 3, 2))],
        "p/a: read at revision 3 fits nothing that may have been before it",
    ),
    "a write executed twice": (  # trap 55
        [ONE, TWO, get(5, 6, A, 3, ("1", 1, 3, 3))],
        "p/a: put of '1' has revision 1, and revision 3 too",
    ),
    "an unknown write executed twice": (  # trap 55
        [
            lost(1, 2, A, "1"),
            get(3, 4, A, 1, ("1", 1, 1, 1)),
            put(5, 6, A, "2", 2),
            get(7, 8, A, 3, ("1", 1, 3, 3)),
        ],
        "p/a: put of '1' has revision 1, and revision 3 too",
    ),
    "a write that failed and is there": (
        [operation(1, 2, "put", key=A, value="1", outcome=FAILED), get(3, 4, A, 1, ("1", 1, 1, 1))],
        "'1' was written to p/a, and its writer was told that it was not",
    ),
    "a write that was refused and is there": (
        [ONE, refused(3, 4, A, "2", 0, 1, 1), get(5, 6, A, 2, ("2", 1, 2, 2))],
        "'2' was written to p/a, and its writer was told that it was not",
    ),
    "a write that nobody made": ([get(1, 2, A, 1, ("9", 1, 1, 1))], "nobody wrote '9' to p/a"),
    "a write under another key": ([ONE, get(3, 4, B, 1, ("1", 1, 1, 1))], "nobody wrote '1' to p/b"),
    "a revision that goes back": (
        [put(1, 2, A, "1", 2), put(3, 4, A, "2", 1)],
        "a write got revision 1 when 2 had been told already",
    ),
    "a revision that goes back, of another key": (
        [put(1, 2, A, "1", 2), put(3, 4, B, "2", 1)],
        "a write got revision 1 when 2 had been told already",
    ),
    "a revision used twice": (
        [ONE, put(1, 2, B, "2", 1)],
        "revision 1 is that of two writes, to p/a and to p/b",
    ),
    "a write seen before it was asked for": (
        [get(1, 2, A, 1, ("1", 1, 1, 1)), lost(3, 4, A, "1")],
        "a write got revision 1 when 1 had been told already",
    ),
    "a condition that did not hold": (
        [ONE, TWO, put(5, 6, A, "3", 3, expected=1)],
        "p/a: put at revision 3 fits nothing that may have been before it",
    ),
    "a refusal without a reason": (
        [ONE, refused(3, 4, A, "2", 1, 1, 1)],
        "p/a: refused at revision 1 fits nothing that may have been before it",
    ),
    "a range that mixes two revisions": (
        [ONE, put(3, 4, B, "2", 2), put(5, 9, A, "3", 3), scan(6, 7, 2, Item(A, "3", 1, 3, 2), Item(B, "2", 2, 2, 1))],
        "p/a of revision 3 is in a view of revision 2",
    ),
    "a range that mixes two revisions, the other way": (
        [ONE, put(3, 4, B, "2", 2), put(5, 6, A, "3", 3), scan(7, 8, 3, Item(A, "1", 1, 1, 1))],
        "p/a: read at revision 3 fits nothing that may have been before it",
    ),
    "a key that a range does not find": (
        [ONE, put(3, 4, B, "2", 2), scan(5, 6, 2, Item(A, "1", 1, 1, 1))],
        "p/b: read at revision 2 fits nothing that may have been before it",
    ),
    "a batch half visible": (
        [batch(1, 9, (A, "1", 1), (B, "2", 2)), scan(2, 3, 1, Item(A, "1", 1, 1, 1))],
        "an answer at revision 1 is from the middle of a batch",
    ),
    "an unknown batch half visible": (
        [
            operation(1, 2, "batch", outcome=UNKNOWN, commands=(Command("put", A, "1"), Command("put", B, "2"))),
            scan(3, 4, 9, Item(A, "1", 1, 1, 1)),
        ],
        "p/b: read at revision 9 fits nothing that may have been before it",
    ),
    "an unknown batch torn apart": (
        [
            operation(
                1,
                9,
                "batch",
                outcome=UNKNOWN,
                commands=(Command("put", A, "1"), Command("delete", B), Command("put", B, "2")),
            ),
            *[put(2, 8, "p/c", f"c{number}", number) for number in (2, 3, 4)],
            get(3, 4, A, 4, ("1", 1, 1, 1)),
            get(10, 11, B, 5, ("2", 5, 5, 1)),
        ],
        "the writes of a batch have the revisions [1, 5], which do not follow one another",
    ),
    "a put that made no revision": (
        [operation(1, 2, "put", key=A, value="1", revision=0, result=Result())],
        "the answer contradicts itself",
    ),
    "a batch torn apart": (
        [batch(1, 9, (A, "1", 1), (B, "2", 3)), put(2, 8, A, "3", 2)],
        "the writes of a batch have the revisions [1, 3], which do not follow one another",
    ),
    "an answer that contradicts itself": (
        [operation(1, 2, "put", key=A, value="1", revision=2, result=Result(revision=2, mod_revision=1))],
        "the answer contradicts itself",
    ),
    "a condition on a revision that found nothing": (
        [operation(1, 2, "delete", key=A, expected=1, revision=1, result=Result(revision=1))],
        "the answer contradicts itself",
    ),
    "a refusal without a condition": (
        [ONE, operation(3, 4, "put", key=A, value="2", outcome=FAILED, revision=1, result=REFUSAL)],
        "the answer contradicts itself",
    ),
    "a key twice in a range": (
        [ONE, TWO, scan(5, 6, 2, Item(A, "1", 1, 1, 1), Item(A, "2", 1, 2, 2))],
        "the answer contradicts itself",
    ),
    "a range that is out of order": (
        [ONE, put(3, 4, B, "2", 2), scan(5, 6, 2, Item(B, "2", 2, 2, 1), Item(A, "1", 1, 1, 1))],
        "the answer contradicts itself",
    ),
    "a key that the range was not asked for": (
        [put(1, 2, "q", "1", 1), scan(5, 6, 1, Item("q", "1", 1, 1, 1))],
        "the answer contradicts itself",
    ),
    "a batch whose refusal is of another moment": (
        [ONE, torn_batch(3, 4, Result(revision=2, mod_revision=2), Result(success=False, revision=3, mod_revision=1))],
        "the answer contradicts itself",
    ),
    "more results than commands": (
        [torn_batch(3, 4, *(Result(revision=number, mod_revision=number) for number in (2, 3, 4)))],
        "the answer contradicts itself",
    ),
    "a condition on a revision that came later": (
        [lost(1, 2, A, "1"), put(3, 4, A, "2", 5, expected=7)],
        "p/a: put at revision 5 fits nothing that may have been before it",
    ),
    "another key's revision": (
        [put(1, 2, B, "1", 3), lost(3, 4, A, "2"), refused(5, 6, A, "3", 1, mod=3, revision=3)],
        "p/a can't have been written at revision 3",
    ),
    "a revision from before the only write that nobody saw": (
        [put(1, 2, B, "1", 50), lost(3, 4, A, "2"), refused(5, 6, A, "3", 1, mod=20, revision=50)],
        "p/a can't have been written at revision 20",
    ),
    "a condition that held twice": (
        [lost(1, 2, A, "1"), lost(3, 4, A, "2", expected=2), put(5, 6, A, "3", 5), get(7, 8, A, 5, ("3", 1, 5, 4))],
        "p/a: read at revision 5 fits nothing that may have been before it",
    ),
    "a first version that was made at another revision": (
        [lost(1, 9, A, "1"), lost(1, 9, A, "3", expected=2), get(7, 8, A, 4, ("3", 1, 4, 2))],
        "p/a: read at revision 4 fits nothing that may have been before it",
    ),
    "a key that was made after its second version": (
        [lost(1, 9, A, "1", expected=0), put(2, 3, A, "2", 2), put(4, 5, A, "3", 4), get(7, 8, A, 4, ("3", 2, 4, 3))],
        "p/a: read at revision 4 fits nothing that may have been before it",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_is_found(name: str) -> None:
    history, fault = WRONG[name]
    assert violations(*history)[:1] == [fault]


def test_a_read_of_unknown_outcome_says_nothing() -> None:
    assert violations(put(1, 2, A, "1", 1), operation(3, 4, "get", key=A, outcome=UNKNOWN)) == []


def test_what_only_two_keys_together_show_is_found() -> None:
    """Revision 1 was there when 2 had been told, of another key: so who then finds nothing there reads stale."""
    history = [put(1, 20, A, "1", 1), put(2, 3, B, "2", 2), get(4, 5, A, 2, None)]
    assert violations(*history) == ["p/a: read at revision 2 fits nothing that may have been before it"]


def test_operations_and_unknown_ones_are_counted() -> None:
    verdict = check([ONE, lost(3, 4, B, "5"), get(5, 6, A, 1, ("1", 1, 1, 1))])
    assert (verdict.operations, verdict.unknown, verdict.violations) == (3, 1, ())


def test_the_operation_too_many_comes_last_in_a_violation() -> None:
    read = get(5, 6, A, 2, None)
    (violation,) = check([ONE, TWO, read]).violations
    assert violation.operations == (ONE, TWO, read)


def test_an_answer_without_what_was_told_is_no_history() -> None:
    with pytest.raises(HistoryError, match="operation 1 ended as ok, and has no result"):
        check([ONE, operation(3, 4, "get", key=A)])


def test_values_that_are_not_unique_are_refused() -> None:
    with pytest.raises(HistoryError, match="two puts write '1'"):
        check([ONE, put(3, 4, B, "1", 2)])
