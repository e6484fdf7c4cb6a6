"""Errors as data: from the wire, and from one process to another."""

import copy
import pickle
import re

import pytest

from zraft import errors
from zraft.errors import Compacted, InvariantViolated, PreconditionFailed, Unknown, ZraftError, from_code
from zraft.protocol.codec import encode
from zraft.protocol.responses import BatchResult, DeleteResult, ErrorInfo, GetResult, PutResult

CODES = sorted(kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ZraftError))


def drawn() -> dict[str, str]:
    """Each class of the tree that the module's docstring draws, with the one that it hangs from."""
    found: dict[str, str] = {}
    above: list[str] = []
    for match in re.finditer(r"^    ([ │├└─]*)([A-Z][A-Za-z]+)(?: {2,}.*)?$", errors.__doc__ or "", re.MULTILINE):
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        found[match[2]] = above[depth - 1] if depth else "Exception"
    return found


def test_the_tree_of_errors_has_every_class_where_it_belongs() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in kinds}


@pytest.mark.parametrize("code", [code for code in CODES if code != "ZraftError"])  # the base of all is never raised
def test_an_error_survives_the_wire_and_a_pickle(code: str) -> None:
    error = from_code(code, "why", 7)
    for same in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), same.code, same.message) == (getattr(errors, code), code, "why")
        assert getattr(same, "revision", 7) == 7


def test_a_broken_invariant_survives_a_pickle() -> None:
    error = InvariantViolated("commit goes back", before=7, after=6)
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), str(same)) == (InvariantViolated, "invariant violated: commit goes back (before=7 after=6)")


def test_only_a_failed_precondition_has_a_revision() -> None:
    assert [code for code in CODES if hasattr(from_code(code, "why"), "revision")] == ["PreconditionFailed"]
    assert PreconditionFailed("why").revision == 0


def test_a_code_of_a_newer_server_is_an_unknown_outcome() -> None:
    error = from_code("LockLost", "of a later version")
    assert (type(error), str(error)) == (Unknown, "LockLost: of a later version")


def test_what_failed_in_a_batch_is_an_error_that_can_be_raised() -> None:
    done, absent = PutResult(True, None, 7, 3, 3), GetResult(False, None, None, 3)
    failed = DeleteResult(False, ErrorInfo("PreconditionFailed", "it is 2"), 7, 3, 2, True)
    gone = GetResult(False, None, ErrorInfo("Compacted", "2 is gone"), 3)
    batch = BatchResult((done, failed, absent, gone), 7, 3)
    assert isinstance(batch.outcomes, tuple)
    first, second, third, fourth = batch.outcomes
    assert (first, third) == (done, absent)
    assert isinstance(second, PreconditionFailed)
    assert (str(second), second.revision) == ("it is 2", 2)
    assert isinstance(fourth, Compacted)
    assert str(fourth) == "2 is gone"


def test_what_came_of_a_batch_is_worked_out_once_and_is_no_part_of_its_value() -> None:
    failed = PutResult(False, ErrorInfo("PreconditionFailed", "it is 2"), 7, 3, 2)
    asked, other = BatchResult((failed,), 7, 3), BatchResult((failed,), 7, 3)
    assert asked.outcomes[0] is asked.outcomes[0]
    assert (asked, hash(asked), encode(asked), repr(asked)) == (other, hash(other), encode(other), repr(other))
    same = pickle.loads(pickle.dumps(asked))
    assert same == copy.copy(asked) == asked
    assert [str(error) for error in same.outcomes] == ["it is 2"]
    with pytest.raises(AttributeError, match="immutable"):
        asked.revision = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        asked.outcomes = ()
