"""Defects of apply: the state machine, and what takes committed entries to it (S10, S11)."""

from tests.mutants.mutant import Mutant

APPLIER, AUDIENCE, KEYSPACE, LIMITS = "core/applier.py", "core/audience.py", "core/keyspace.py", "core/limits.py"
TOLD = "tests/unit/core/test_audience.py"

MUTANTS = (
    Mutant(
        "results before the state is published",
        "S10: results are told after the state was published",
        APPLIER,
        "                if tired():\n                    return []\n",
        "                if tired():\n                    outcomes, self._outcomes = self._outcomes, []\n"
        "                    return outcomes\n",
    ),
    Mutant(
        "applies what is not committed",
        "nothing is applied beyond the commit index",
        APPLIER,
        "[: self._acceptor.commit - index + 1])",
        ")",
    ),
    Mutant(
        "the applied index without its effects",
        "applied index and effects are one transaction (trap 22)",
        KEYSPACE,
        "            self._flush()\n            now = ",
        "            now = ",
    ),
    Mutant(
        "a state that begins anew",
        "a restarted state machine goes on where it was (trap 22)",
        KEYSPACE,
        "self._digest = read_applied(tables.meta(APPLIED))\n",
        "self._digest = (read_applied(tables.meta(APPLIED))[0], 0, 0, 0, 0)\n",
    ),
    Mutant(
        "one revision for a batch",
        "S11: one revision for each command that changed a key",
        KEYSPACE,
        "            revision += 1\n            mod, sub",
        "            revision += not records\n            mod, sub",
    ),
    Mutant(
        "no revision for a write with a condition",
        "S11: one revision for each command that changed a key",
        KEYSPACE,
        "        self.revision = revision = self.revision + 1\n",
        "        self.revision = revision = self.revision + (not self._records)\n",
        test="tests/unit/core/test_keyspace.py",
    ),
    Mutant(
        "a key's second put knows nothing of its first",
        "S11: each put of a batch follows on all before it",
        KEYSPACE,
        "            if keys is not None and len(set(keys)) == len(keys):\n",
        "            if keys is not None:\n",
        test="tests/unit/core/test_keyspace.py",
    ),
    Mutant(
        "a put with a condition is taken for one without",
        "a put is done at once with others only if it depends on nothing",
        LIMITS,
        "        and one.expected_revision is None\n",
        "",
        test="tests/unit/core/test_keyspace.py",
    ),
    Mutant(
        "a put for a lease is taken for one without",
        "apply refuses what a later version may have let pass: session, sequence and lease are reserved",
        LIMITS,
        "        and not (one.return_previous or one.session or one.sequence or one.lease)\n",
        "        and not one.return_previous\n",
        test="tests/unit/core/test_keyspace.py",
    ),
    Mutant(
        "a batch is done backwards",
        "S11: revisions are taken in the order of the batch",
        KEYSPACE,
        "yield from self._apply_all(command.operations, index, done)",
        "yield from self._apply_all(command.operations[::-1], index, done)",
        test="tests/unit/core/test_keyspace.py::test_a_batch_is_no_transaction_each_operation_has_its_own_revision",
    ),
    Mutant(
        "an entry is done backwards",
        "S11: revisions are taken in the order of the entry's commands",
        KEYSPACE,
        "                for command in step:\n",
        "                for command in step[::-1]:\n",
        test="tests/unit/core/test_keyspace.py::test_each_command_that_changes_a_key_takes_one_revision_in_order",
    ),
    Mutant(
        "a revision for nothing",
        "S11: a command that changes nothing takes no revision",
        KEYSPACE,
        "            return DeleteResult(True, None, index, self.revision)\n",
        "            self.revision += 1\n            return DeleteResult(True, None, index, self.revision)\n",
        test="tests/unit/core/test_keyspace.py",
    ),
    Mutant(
        "apply depends on the process",
        "apply is a function of state and entry (trap 56)",
        KEYSPACE,
        "        previous = self._value_at(mod, sub) if operation.return_previous and version else None\n",
        "        previous = None\n        if id(self) % 3 == 0 and version:\n"
        "            return DeleteResult(True, None, index, self.revision)\n",
    ),
    Mutant(
        "nobody hears what a snapshot skipped",
        "what a snapshot skipped is told before anything behind it (trap 55)",
        AUDIENCE,
        "        return [(number, Registered(True)) for number in self._gateways]\n",
        "        return []\n",
        test=TOLD,
    ),
    Mutant(
        "a gateway that missed results hears of none",
        "a gateway is told that results may be missing (trap 55)",
        AUDIENCE,
        "known is None or known.nonce != message.nonce or known.to != to",
        "known is None",
        test=TOLD,
    ),
    Mutant(
        "told to another start",
        "results are told to the start of the gateway that asked (trap 55)",
        AUDIENCE,
        "gateway is not None and gateway.nonce == outcome.origin.nonce",
        "gateway is not None",
        test=TOLD,
    ),
    Mutant(
        "a gateway whose queue is full hears what comes behind",
        "whoever could not be told something hears nothing behind it (trap 55)",
        AUDIENCE,
        "        self._gateways.pop(gateway, None)\n",
        "        self._gateways.get(gateway, None)\n",
        test=TOLD,
    ),
)
