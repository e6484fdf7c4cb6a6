"""Batches whose clients were told nothing: who saw one of the writes knows that all of them were executed."""

import pytest

from tests.unit.verify.told import A, B, delete, get, operation, put, scan, violations
from zraft.verify import Command, Item, Operation
from zraft.verify.history import UNKNOWN

PUT_A = Command("put", A, "1")
CREATE_B = Command("put", B, "2", expected=0)
A_AT_1 = Item(A, "1", 1, 1, 1)


def lost_batch(begin: int, end: int, *commands: Command) -> Operation:
    return operation(begin, end, "batch", outcome=UNKNOWN, commands=commands)


RIGHT = {
    "a batch whose condition held, seen whole": [
        lost_batch(1, 2, PUT_A, CREATE_B),
        scan(3, 4, 2, A_AT_1, Item(B, "2", 2, 2, 1)),
    ],
    "a batch whose condition did not hold": [
        put(1, 2, B, "3", 1),
        lost_batch(3, 4, PUT_A, CREATE_B),
        put(5, 6, B, "4", 3),
        scan(7, 8, 3, Item(A, "1", 2, 2, 1), Item(B, "4", 1, 3, 2)),
    ],
    "a batch whose condition held, and what it wrote is gone": [
        lost_batch(1, 9, PUT_A, CREATE_B),
        delete(3, 4, B, 3),
        scan(5, 6, 3, A_AT_1),
    ],
    "a batch behind another's write that made its condition fail": [
        put(1, 2, B, "3", 9),
        lost_batch(3, 4, CREATE_B, PUT_A),
        scan(5, 6, 10, Item(A, "1", 10, 10, 1), Item(B, "3", 9, 9, 1)),
    ],
    "a view of the past from the middle of a batch": [
        put(1, 2, B, "3", 1),
        lost_batch(3, 4, PUT_A, Command("delete", "p/c"), Command("delete", B), Command("put", "p/c", "4")),
        get(5, 6, "p/c", 4, ("4", 4, 4, 1)),
        get(7, 8, A, 4, ("1", 2, 2, 1)),
        get(9, 10, B, 4, ("3", 1, 1, 1), at=2),
        get(9, 10, B, 4, None, at=3),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_be_is_accepted(name: str) -> None:
    assert violations(*RIGHT[name]) == []


WRONG = {
    "a batch whose condition held, half visible": (
        [lost_batch(1, 2, PUT_A, CREATE_B), scan(3, 4, 9, A_AT_1)],
        "p/b: read at revision 9 fits nothing that may have been before it",
    ),
    "a batch whose condition held, half visible at its first revision": (
        [lost_batch(1, 2, PUT_A, CREATE_B), scan(3, 4, 1, A_AT_1)],
        "p/b: read at revision 1 fits nothing that may have been before it",
    ),
    "a batch whose condition held, and a creation": (
        [lost_batch(1, 2, PUT_A, CREATE_B), get(3, 4, A, 1, ("1", 1, 1, 1)), put(5, 6, B, "3", 3, expected=0)],
        "p/b: put at revision 3 fits nothing that may have been before it",
    ),
    "a batch whose delete came late": (
        [
            put(1, 2, B, "2", 1),
            lost_batch(3, 4, PUT_A, Command("delete", B)),
            scan(5, 6, 2, Item(A, "1", 2, 2, 1), Item(B, "2", 1, 1, 1)),
        ],
        "p/b: read at revision 2 fits nothing that may have been before it",
    ),
    "a batch with a condition that held, and left no revision for its write": (
        [
            lost_batch(1, 2, PUT_A, CREATE_B, Command("put", "p/c", "3")),
            get(3, 4, A, 2, ("1", 1, 1, 1)),
            get(3, 4, "p/c", 2, ("3", 2, 2, 1)),
        ],
        "p/b: tried at revision 2 fits nothing that may have been before it",
    ),
    "a batch without a revision for a put": (
        [
            lost_batch(1, 2, PUT_A, Command("put", B, "2"), Command("put", "p/c", "3"), Command("delete", B)),
            get(3, 4, A, 2, ("1", 1, 1, 1)),
            get(3, 4, "p/c", 2, ("3", 2, 2, 1)),
        ],
        "the writes of a batch have the revisions [1, 2], which do not follow one another",
    ),
    "another's write in the middle of a batch": (
        [
            lost_batch(1, 9, PUT_A, CREATE_B, Command("put", B, "3", expected=0), Command("put", "p/c", "4")),
            put(2, 8, "p/d", "5", 2),
            get(10, 11, A, 3, ("1", 1, 1, 1)),
            get(10, 11, "p/c", 3, ("4", 3, 3, 1)),
        ],
        "revision 2 of another write is in the middle of a batch",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_is_found(name: str) -> None:
    history, fault = WRONG[name]
    assert violations(*history)[:1] == [fault]
