"""Defects of the history: what compaction may remove, who may see it, and what proves that a state is whole."""

from tests.mutants.mutant import Mutant

KEYSPACE, SWEEP, VIEWS, RECORDS = "core/keyspace.py", "core/sweep.py", "core/views.py", "core/records.py"
RETENTION = "core/retention.py"
COMPACTION, READS = "tests/unit/core/test_compaction.py", "tests/unit/core/test_views.py"
RETAINING = "tests/unit/core/test_retention.py"

MUTANTS = (
    Mutant(
        "what is compacted can still be read",
        "reads before the compacted revision are refused at once, however far the sweep is",
        VIEWS,
        "        if 0 < revision < self.compacted:\n",
        "        if False:\n",
    ),
    Mutant(
        "the compacted revision itself is refused",
        "a read at exactly the compacted revision works",
        VIEWS,
        "        if 0 < revision < self.compacted:\n",
        "        if 0 < revision <= self.compacted:\n",
    ),
    Mutant(
        "the future is compacted",
        "a compaction of a future revision is refused",
        KEYSPACE,
        "        if not fault and command.revision > self.revision:\n",
        "        if False:\n",
        test=COMPACTION,
    ),
    Mutant(
        "a compaction goes back",
        "the compacted revision never goes back",
        KEYSPACE,
        "        self.compacted = max(self.compacted, command.revision)\n",
        "        self.compacted = command.revision\n",
    ),
    Mutant(
        "a deletion at the compacted revision is dropped",
        "a deletion at the compacted revision stays until the next compaction (trap 50)",
        SWEEP,
        "        if version or revision == self._compacted:\n",
        "        if version:\n",
        test=COMPACTION,
    ),
    Mutant(
        "a deletion is kept for ever",
        "the next sweep looks at the record at the old end once more",
        SWEEP,
        "        start = record_key(self.swept, 0)\n",
        "        start = record_key(self.swept + 1, 0)\n",
        test=COMPACTION,
    ),
    Mutant(
        "a key that came back loses its index entry",
        "an index entry goes only if it still points to the deletion (trap 23)",
        SWEEP,
        "        if entry is not None and unpack_meta(key, entry)[:2] == (revision, sub):\n",
        "        if entry is not None:\n",
    ),
    Mutant(
        "sweeps beyond the compacted revision",
        "no record that can be read is removed (trap 23)",
        SWEEP,
        "                if revision > self._compacted:\n",
        "                if revision > self._compacted + 1:\n",
    ),
    Mutant(
        "a sweep is put off for ever",
        "what is put off while writes come fast has a bound",
        RETENTION,
        "        if self._pace.is_fast and not hurry and self._state_bytes - self._swept_bytes < self._burst:\n",
        "        if self._pace.is_fast and not hurry:\n",
        test=RETAINING,
    ),
    Mutant(
        "a sweep is put off on a full disk",
        "nothing is put off when space is short",
        RETENTION,
        "        if self._pace.is_fast and not hurry and self._state_bytes - self._swept_bytes < self._burst:\n",
        "        if self._pace.is_fast and self._state_bytes - self._swept_bytes < self._burst:\n",
        test=RETAINING,
    ),
    Mutant(
        "what was swept stays in the digest",
        "the digest is that of the records that are there",
        KEYSPACE,
        "        self._digest -= sweep.removed\n",
        "        self._digest -= 0\n",
        test=COMPACTION,
    ),
    Mutant(
        "a damaged record is shown",
        "a record is checked at every read of it (trap 29)",
        RECORDS,
        "!= _SOUND:\n        raise _damaged(revision, sub)\n    return int.from_bytes(",
        "!= _SOUND and False:\n        raise _damaged(revision, sub)\n    return int.from_bytes(",
        test=READS,
    ),
    Mutant(
        "a sweep follows a damaged record",
        "a record is checked at every read of it (trap 29)",
        RECORDS,
        "!= _SOUND:\n        raise _damaged(revision, sub)\n    return _LINKS.",
        "!= _SOUND and False:\n        raise _damaged(revision, sub)\n    return _LINKS.",
        test=COMPACTION,
    ),
    Mutant(
        "a damaged index entry is believed",
        "an index entry is checked at every read of it (trap 29)",
        RECORDS,
        "    if _value(key + data) != _SOUND:\n",
        "    if False:\n",
        test=READS,
    ),
    Mutant(
        "a missing record is an absent key",
        "only what was swept may be missing (trap 29)",
        VIEWS,
        "        if not may_be_swept:\n",
        "        if False:\n",
        test=READS,
    ),
    Mutant(
        "a gateway's damage stays its own",
        "damage that a read meets stops the node (trap 29)",
        "core/restarts.py",
        "        elif event.exit_code == CorruptState.exit_code:\n",
        "        elif False:\n",
        test="tests/unit/core/test_restarts.py",
    ),
    Mutant(
        "a state is believed unread",
        "a state is read from end to end at start (trap 29)",
        "store/soundness.py",
        '        if not env.stat()["entries"]:\n',
        "        if True:\n",
        test="tests/unit/store/test_soundness.py",
    ),
)
