"""Defects of rules of backups, restored clusters and repairs: named tests find them."""

from tests.mutants.mutant import Mutant

REPAIRED = "tests/unit/store/test_check_and_repair.py"
RESTORED = "tests/unit/store/test_restore.py"
GIVEN = "tests/unit/actors/test_backups.py"

MUTANTS = (
    Mutant(
        "any two restored files form a cluster",
        "nodes that begin with different states form nothing",
        "core/formation.py",
        "            if hello.initial_state != own.initial_state:\n",
        "            if False:\n",
        test="tests/unit/core/test_formation.py::test_nodes_that_begin_with_different_states_form_nothing",
    ),
    Mutant(
        "the bump does not count",
        "what a cluster begins with is told by the file and the bump",
        "store/restore.py",
        'manifest.checksum() + bump.to_bytes(8, "big")',
        "manifest.checksum()",
        test=f"{RESTORED}::test_what_a_cluster_begins_with_is_told_by_file_and_bump",
    ),
    Mutant(
        "a node starts with a part of what was restored",
        "restoring is finished before any node starts with the data",
        "store/directory.py",
        "        if self.restoring_path.exists() and not self.log_path.exists():\n",
        "        if False:\n",
        test=f"{RESTORED}::test_interrupted_anywhere_no_node_starts_until_it_is_repeated",
    ),
    Mutant(
        "what searches do not find is copied",
        "a snapshot is made of what LMDB finds, not only of what it walks by (trap 30)",
        "store/probed.py",
        "                    if not search.set_key(key):\n",
        "                    if False:\n",
        test="tests/unit/store/test_snapshots.py::test_a_state_with_damaged_pages_is_not_copied",
    ),
    Mutant(
        "what a walk comes by twice is copied",
        "a snapshot is made of a state each item of which a walk comes by once (trap 30)",
        "store/probed.py",
        "                    if key <= before:\n",
        "                    if False:\n",
        test="tests/unit/store/test_snapshots.py::test_a_state_with_damaged_pages_is_not_copied",
    ),
    Mutant(
        "a restored snapshot is another than the verified one",
        "what was copied is what was verified, for the cluster's id is made of that",
        "store/restore.py",
        "    if verify_snapshot(path / DATA_FILE) != manifest:\n",
        "    if False:\n",
        test=f"{RESTORED}::test_a_file_that_is_replaced_meanwhile_is_not_taken_for_the_one_that_was_verified",
    ),
    Mutant(
        "a shortened log is left beside no state",
        "trap 29: without its state a shortened log looks sound, so it is the first to be set aside",
        "store/repair.py",
        "            (*_present(directory.log_path), *derived, *record),\n",
        "            (*derived, *_present(directory.log_path), *record),\n",
        test=f"{REPAIRED}::test_a_state_ahead_of_the_log_proves_that_the_log_lost_entries",
    ),
    Mutant(
        "a record that is missing is not missed",
        "the records match the digest of the state",
        "core/integrity.py",
        "    if digest & U64_MASK != state.digest:\n",
        "    if False:\n",
        test="tests/unit/core/test_integrity.py",
    ),
    Mutant(
        "a backup of a node that is behind",
        "a backup has every write that was acknowledged before it was asked for",
        "client/backup.py",
        "        while (found := self._revision()) < least:\n",
        "        while (found := self._revision()) < 0:\n",
        test="tests/unit/client/test_backup.py",
    ),
    Mutant(
        "a backup for two",
        "a node gives one backup at a time",
        "actors/backups.py",
        "            if self._name:\n                raise ResourceExhausted(",
        "            if not self._name:\n                raise ResourceExhausted(",
        test=f"{GIVEN}::test_a_second_one_waits_for_the_end_of_the_first",
    ),
    Mutant(
        "a backup is not synced",
        "the power fails behind it: the old one is replaced by a file of no bytes",
        "client/backup.py",
        "            os.fsync(file.fileno())\n",
        "",
        test="tests/unit/client/test_backup.py",
    ),
    Mutant(
        "the directory of a backup is not synced",
        "the power fails behind it: there is none",
        "client/backup.py",
        "        sync_directory(path.parent)\n",
        "",
        test="tests/unit/client/test_backup.py",
    ),
)
