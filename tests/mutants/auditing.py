"""Defects of the comparison of replicas."""

from tests.mutants.mutant import Mutant

AUDIT = "core/audit.py"
ACCEPTOR = "core/acceptor.py"
TESTS = "tests/unit/core/test_audit.py"
REAL = "tests/cluster/test_damage.py::test_a_state_that_is_not_the_majoritys_stops_its_node[follower]"

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
        "Checkpoint(entry.index, self._keyspace.checkpoint())",
        "Checkpoint(entry.index - 1, self._keyspace.checkpoint())",
    ),
    Mutant(
        "a verdict of an old term stops a node",
        "a verdict counts in its leader's term",
        ACCEPTOR,
        '        if message.term != self._log.term:\n            return Ignored(f"a verdict of',
        '        if False:\n            return Ignored(f"a verdict of',
        test=f"{TESTS}::test_a_verdict_of_another_term_or_on_another_state_stops_nobody",
    ),
    Mutant(
        "any verdict stops a node",
        "a verdict counts for the state in use, as it was told",
        ACCEPTOR,
        "        if Checkpoint(message.index, message.digest) not in self._checkpoints:\n",
        "        if False:\n",
    ),
    Mutant(
        "an installed state answers for the one before",
        "what was told of a state that was replaced is forgotten",
        ACCEPTOR,
        "        self._checkpoints.clear()\n",
        "        pass\n",
        test=f"{TESTS}::test_a_verdict_on_the_state_before_an_installation_stops_nobody",
    ),
    Mutant(
        "a verdict is told once",
        "a verdict may be lost",
        AUDIT,
        "        return self._verdicts.get(member)\n",
        "        return self._verdicts.pop(member, None)\n",
        test=f"{TESTS}::test_a_leader_tells_who_differs_with_each_of_its_answers",
    ),
    Mutant(
        "a leader that differs does not tell itself",
        "the own storage is one of them",
        "core/replication.py",
        "        verdict = lead.audit.verdict(member)\n",
        "        verdict = lead.audit.verdict(member) if member != self.me else None\n",
    ),
    Mutant(
        "a state that differed is used again",
        "a divergence stands on record until an operator has acted",
        "actors/opening.py",
        "    if diverged is not None:\n",
        "    if False:\n",
        test=REAL,
    ),
    Mutant(
        "a divergence is not put on record",
        "a divergence stands on record until an operator has acted",
        "actors/storage.py",
        "            record_divergence(self._directory, str(error))\n",
        "            pass\n",
        test=REAL,
    ),
    Mutant(
        "a snapshot of a state that differed is kept",
        "what was made of a state that differs goes with it",
        "store/repair.py",
        "            (*derived, *record),\n",
        "            (*_states(directory), *record),\n",
        test="tests/unit/store/test_check_and_repair.py::test_a_state_that_differs_is_made_anew_from_a_whole_log",
    ),
)
