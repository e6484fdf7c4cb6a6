"""The list of mutants fits the code, and a hunt finds what there is to find. The hunt for all is ``make mutants``."""

import msgspec
import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import ROOT, Tree, count, hunt
from tests.mutants.mutant import Mutant

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
HARMLESS = Mutant("harmless", "none", "core/quorum.py", "frozenset(voters)", "frozenset(tuple(voters))")


def test_names_are_different() -> None:
    assert len(BY_NAME) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_of_a_mutant_stands_in_the_code(mutant: Mutant) -> None:
    text = (ROOT / "zraft" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"write {mutant.name} anew: the text that it replaces is gone, or there twice"
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


@pytest.mark.simulation
@pytest.mark.parametrize(
    "name",
    ["half is a majority", "rounds count the old members", "a failed sync is a crash like any other"],
)
def test_a_mutant_is_found(name: str) -> None:
    mutant = BY_NAME[name]
    if mutant.test:
        mutant = msgspec.structs.replace(mutant, test="tests/unit/core/test_restarts.py")  # the same, in a moment
    with Tree(ROOT) as original:
        assert hunt(original, mutant, seconds=60).found


@pytest.mark.simulation
def test_what_changes_nothing_is_not_found() -> None:
    with Tree(ROOT) as original:
        verdicts = [hunt(original, HARMLESS, seconds=2)]
        by_test = msgspec.structs.replace(HARMLESS, test="tests/unit/core/test_quorum.py")
        verdicts.append(hunt(original, by_test, seconds=2))
    assert [verdict.found for verdict in verdicts] == [False, False]
    assert count(verdicts) == (0, 2)


@pytest.mark.simulation
def test_what_is_covered_must_not_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mutants.hunt.SEEDS_IF_COVERED", 4)
    covered = msgspec.structs.replace(HARMLESS, covered_by="a voter is a voter")
    wrong = msgspec.structs.replace(BY_NAME["half is a majority"], covered_by="half is enough")
    broken = msgspec.structs.replace(covered, new="frozenset(voters, 1)")
    by_test = {"test": "tests/unit/core/test_quorum.py"}
    with Tree(ROOT) as original:
        for hunted in ({}, by_test):
            right = hunt(original, msgspec.structs.replace(covered, **hunted), seconds=0)
            found = hunt(original, msgspec.structs.replace(wrong, **hunted), seconds=0)
            assert (right.as_listed, found.found, found.as_listed) == (True, True, False)
            assert count([right, found]) == (0, 1)
        late = hunt(original, msgspec.structs.replace(covered, old="no such text"), seconds=0)
        crashed = hunt(original, broken, seconds=0)
    assert count([late, crashed]) == (0, 2)


def test_a_mutant_that_does_not_fit_is_not_found() -> None:
    with Tree(ROOT) as original:
        verdict = hunt(original, Mutant("late", "none", "core/quorum.py", "no such text", ""), seconds=1)
    assert (verdict.found, verdict.words) == (False, "late: the text stands 0 times in core/quorum.py")
