"""Errors as data: from the wire, and from one process to another."""

import copy
import pickle

import pytest

from zraft import errors
from zraft.errors import PreconditionFailed, Unknown, ZraftError, from_code

CODES = sorted(kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ZraftError))


@pytest.mark.parametrize("code", [code for code in CODES if code != "ZraftError"])  # the base of all is never raised
def test_an_error_survives_the_wire_and_a_pickle(code: str) -> None:
    error = from_code(code, "why", 7)
    for same in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), same.code, same.message) == (getattr(errors, code), code, "why")
        assert getattr(same, "revision", 7) == 7


def test_only_a_failed_precondition_has_a_revision() -> None:
    assert [code for code in CODES if hasattr(from_code(code, "why"), "revision")] == ["PreconditionFailed"]
    assert PreconditionFailed("why").revision == 0


def test_a_code_of_a_newer_server_is_an_unknown_outcome() -> None:
    error = from_code("LockLost", "of a later version")
    assert (type(error), str(error)) == (Unknown, "LockLost: of a later version")
