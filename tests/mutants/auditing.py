"""Defects of the comparison of replicas."""

from tests.mutants.mutant import Mutant

AUDIT = "core/audit.py"
TESTS = "tests/unit/core/test_audit.py"

MUTANTS = (
    Mutant(
        "an audit compares different indexes",
        "digests are compared at the same index",
        AUDIT,
        "        told = self._told.setdefault(index, {})\n",
        "        told = self._told.setdefault(1, {})\n",
    ),
    Mutant(
        "an audit counts learners",
        "only voters make a majority",
        AUDIT,
        "Counter(told[voter] for voter in quorum.voters if voter in told)",
        "Counter(told.values())",
        test=f"{TESTS}::test_a_learner_is_compared_but_does_not_count",
    ),
    Mutant(
        "an audit blames without a majority",
        "without a majority nobody can tell who is right",
        AUDIT,
        "        if most >= quorum.size:\n",
        "        if most >= 1:\n",
        test=f"{TESTS}::test_nobody_is_blamed_before_a_majority_agrees",
    ),
    Mutant(
        "a checkpoint names another index",
        "a checkpoint is the digest of the state at its index",
        "core/applier.py",
        "Checkpoint(entry.index, self._keyspace.digest)",
        "Checkpoint(entry.index - 1, self._keyspace.digest)",
    ),
)
