"""Defects of snapshots, of the log that is cut behind them, and of what is rebuilt from both."""

from tests.mutants.mutant import Mutant

KEEPING = "core/log_keeping.py"
KEEPING_TEST = "tests/unit/core/test_log_keeping.py"
ACCEPTOR = "core/acceptor.py"
ACCEPTOR_TEST = "tests/unit/core/test_cut_logs.py"
LOG = "store/log.py"
LOG_TEST = "tests/conformance/test_log.py"
RECOVERY = "store/recovery.py"
REBUILDING = "tests/unit/store/test_rebuilding.py"
SNAPSHOTS = "actors/snapshots.py"
NODE = "tests/cluster/test_snapshots.py"

MUTANTS = (
    Mutant(
        "cut above the snapshot",
        "the log is cut behind the newest verified snapshot only (trap 24)",
        KEEPING,
        "            self._goal = max(self._goal, min(index, sizes.last - tail))\n",
        "            self._goal = max(self._goal, sizes.last - tail)\n            self.snapshot = self._goal\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "cut above what is applied",
        "nothing that is not applied is cut (trap 22)",
        KEEPING,
        "        target = min(self._goal, self.snapshot, sizes.applied)\n",
        "        target = min(self._goal, self.snapshot)\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "cut while the snapshot is made",
        "the log is cut only after the snapshot was verified (trap 23)",
        KEEPING,
        "        self.making = True\n\n    def made",
        "        self.making, self.snapshot, self._goal = True, 1 << 62, 1 << 62\n\n    def made",
        test=KEEPING_TEST,
    ),
    Mutant(
        "two snapshots at a time",
        "a snapshot is made when the one before is done (trap 25)",
        KEEPING,
        "        if self.making or now < self._retry_at or sizes.applied <= self.snapshot:\n",
        "        if now < self._retry_at or sizes.applied <= self.snapshot:\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "a snapshot is put off for ever",
        "what is put off while entries come fast has a bound",
        KEEPING,
        "        return self._limit(sizes) + min(self._burst, self._threshold)\n",
        "        return 1 << 62\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "a cut log without a snapshot",
        "a log that was cut is never left without a snapshot for longer than it takes to make one",
        KEEPING,
        "        is_bare = sizes.base > 0 and self.snapshot == 0\n",
        "        is_bare = False\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "a snapshot is put off on a full disk",
        "a longer log is let come only where there is room for it",
        KEEPING,
        "        limit = self.longest(sizes) if self._pace.is_fast and roomy else self._limit(sizes)\n",
        "        limit = self.longest(sizes) if self._pace.is_fast else self._limit(sizes)\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "a held log is cut",
        "entries that a peer needs behind its snapshot are kept for as long as it says so",
        KEEPING,
        "            target = min(target, self._hold)\n",
        "            pass\n",
        test=KEEPING_TEST,
    ),
    Mutant(
        "older snapshots stay",
        "one snapshot stays, the newest (trap 25)",
        SNAPSHOTS,
        "snapshots_path) if path < newest]\n",
        "snapshots_path) if False]\n",
        test=f"{NODE}::test_the_log_stays_short_and_one_snapshot_stays",
    ),
    Mutant(
        "an orphan snapshotter",
        "S1: the snapshotter dies with the storage that started it",
        "actors/snapshotter.py",
        "    die_with_parent(job.parent)\n",
        "    time.sleep(60)\n",
        test=f"{NODE}::test_storage_that_is_killed_takes_its_snapshotter_with_it",
    ),
    Mutant(
        "a copy in one go",
        "no more than a little of a snapshot waits for the disk: a commit of the log would wait behind it",
        "store/paced.py",
        "        if dirty >= DIRTY_BYTES_MAX:\n",
        "        if False:\n",
        test="tests/unit/store/test_paced.py",
    ),
    Mutant(
        "the base is forgotten",
        "the entry before the first one is durable with its term (trap 24)",
        LOG,
        "HARD_STATE.pack(self.term, self.vote, base.index, base.term, last.index, last.term)",
        "HARD_STATE.pack(self.term, self.vote, base.index, 0, last.index, last.term)",
        test=LOG_TEST,
    ),
    Mutant(
        "an installation keeps a log of another history",
        "without the snapshot's entry the entire log is discarded ([R] section 7)",
        LOG,
        "        if self.term_at(snapshot.index) != snapshot.term:\n",
        "        if self.term_at(snapshot.index) is None:\n",
        test=LOG_TEST,
    ),
    Mutant(
        "an installation discards what follows",
        "with the snapshot's entry the entries behind it are retained ([R] section 7)",
        LOG,
        "        if self.term_at(snapshot.index) != snapshot.term:\n",
        "        if True:\n",
        test=LOG_TEST,
    ),
    Mutant(
        "an append of before the log is compared",
        "an Append that begins before the log is answered with its base",
        ACCEPTOR,
        "        if message.previous.index < log.base.index:\n            return self._known(message)\n",
        "",
        test=ACCEPTOR_TEST,
    ),
    Mutant(
        "all of a log that was cut matches",
        "S2: an Append of before the log proves its base, and no more",
        ACCEPTOR,
        "        return self._accepted(log.base.index, message.previous.index)\n",
        "        return self._accepted(log.last.index, message.previous.index)\n",
        test=ACCEPTOR_TEST,
    ),
    Mutant(
        "a gap between snapshot and log",
        "a snapshot that ends before the log begins is no way to the state (trap 24)",
        RECOVERY,
        "            if last.index >= log.base.index and log.term_at(last.index) == last.term:\n",
        "            if True:\n",
        test=REBUILDING,
    ),
    Mutant(
        "a state of before the log begins",
        "a state that the log does not go on from is given up (trap 24)",
        RECOVERY,
        "    if applied.index < log.base.index:  # trap 24\n",
        "    if False:\n",
        test=REBUILDING,
    ),
    Mutant(
        "an empty state before a log that was cut",
        "without state and snapshot a log that was cut is refused (traps 24, 28)",
        RECOVERY,
        "    if not log.base.index:\n        return None\n",
        "    if True:\n        return None\n",
        test=REBUILDING,
    ),
    Mutant(
        "a damaged snapshot is the state",
        "every byte of a snapshot is checked before it is taken for the state (trap 29)",
        RECOVERY,
        "                verify_snapshot(path)\n                return path\n",
        "                return path\n",
        test=REBUILDING,
    ),
    Mutant(
        "half a copy is the state",
        "a snapshot becomes the state in one step (trap 23)",
        RECOVERY,
        '    fresh = state.with_name(f"{state.name}.new")\n',
        "    fresh = state\n",
        test=REBUILDING,
    ),
    Mutant(
        "a copy that was never synced is clean",
        "the mark is set before the snapshot is copied",
        RECOVERY,
        "    _set(mark, directory)\n    if source:\n        _copy(source, path)\n",
        "    if source:\n        _copy(source, path)\n    _set(mark, directory)\n    if source:\n",
        test=REBUILDING,
    ),
)
