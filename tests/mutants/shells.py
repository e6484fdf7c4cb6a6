"""Defects of rules that live in a shell (S1, S13, formation): named tests find them, most on real processes."""

from tests.mutants.mutant import Mutant

SUPERVISED = "tests/unit/actors/test_supervisor.py"
RESTARTS = "core/restarts.py"
FORMATION = "core/formation.py"
FORMING = "tests/simulation/test_forming.py"

MUTANTS = (
    Mutant(
        "two trios on one directory",
        "S1: a lock is held on the data directory while any actor of the trio lives",
        "store/directory.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        test="tests/unit/actors/test_supervisor.py::test_a_second_supervisor_on_the_same_directory_is_refused",
    ),
    Mutant(
        "one actor restarts alone",
        "S1: if one of the trio dies, all three are killed",
        RESTARTS,
        "                effects += [Withdraw(), Kill(unit.living())]\n",
        "                effects += [Withdraw()]\n",
        test="tests/unit/actors/test_supervisor.py::"
        "test_the_trio_comes_back_as_a_whole_and_as_another_incarnation",
    ),
    Mutant(
        "a start while one still lives",
        "S1: all three exits are awaited",
        RESTARTS,
        "        if not unit.alive:\n            effects += self._on_unit_ended(unit, now)\n",
        "        if True:\n            unit.alive.clear()\n            effects += self._on_unit_ended(unit, now)\n",
        test="tests/unit/core/test_restarts.py::test_all_three_exits_are_awaited_before_the_trio_starts_again",
    ),
    Mutant(
        "answers to a dead incarnation",
        "S1: another incarnation's message is dropped",
        "actors/identity.py",
        "        if header.incarnation != self.incarnation:\n",
        "        if False:\n",
        test="tests/unit/actors/test_identity.py::test_an_answer_to_another_incarnation_is_dropped",
    ),
    Mutant(
        "a stranger's message counts",
        "a member id is counted only if it is in the configuration (trap 36)",
        "actors/identity.py",
        "        if header.sender not in self._names:\n",
        "        if False:\n",
        test="tests/unit/actors/test_identity.py::test_any_other_message_is_refused_with_the_reason",
    ),
    Mutant(
        "a wiped disk is taken back",
        "a fresh node under a known name is refused (trap 36)",
        FORMATION,
        "            if listed.id == member:\n                return \"\"\n",
        "            if True:\n                return \"\"\n",
        test=FORMING,
    ),
    Mutant(
        "takes part before all have confirmed",
        "every name has stored the same record before anybody takes part (trap 36)",
        FORMATION,
        "        if proven or len(agree) == len(others):\n",
        "        if proven or len(agree) * 2 >= len(others):\n",
        test=FORMING,
    ),
    Mutant(
        "a second record",
        "the index-0 record is stored once in a life (trap 36)",
        "core/acceptor.py",
        "        if mine is not None and mine != message.record:\n",
        "        if False:\n",
        test="tests/unit/core/test_acceptor.py",
    ),
    Mutant(
        "another minimum time-out",
        "S7: the minimum time-out is the same in the whole cluster",
        FORMATION,
        "        if record.election_timeout_min_ms != self._own.election_timeout_min_ms:\n",
        "        if False:\n",
        test="tests/cluster/test_identity.py::test_the_promise_of_a_formed_cluster_stays",
    ),
    Mutant(
        "lists of different promises",
        "S7: the hello refuses another minimum time-out",
        FORMATION,
        "            if hello.election_timeout_min_ms != own.election_timeout_min_ms:\n",
        "            if False:\n",
        test="tests/cluster/test_identity.py::test_promises_that_differ_form_no_cluster",
    ),
    Mutant(
        "a non-voter campaigns",
        "who is no voter does not campaign (trap 11)",
        "core/acceptor.py",
        "        granted = message.term > self._log.term and voter\n",
        "        granted = message.term > self._log.term\n",
        test="tests/unit/core/test_acceptor.py",
    ),
    Mutant(
        "a learner counts",
        "learners count nowhere (trap 34)",
        "protocol/entries.py",
        "        return frozenset(member.id for member in self.members if member.voter)\n",
        "        return frozenset(member.id for member in self.members)\n",
        test="tests/unit/core",
    ),
    Mutant(
        "answers before the first sync",
        "S13: the log is synced before the first answer of a start",
        "store/log.py",
        "            self._env.sync(True)\n",
        "            pass\n",
        test="tests/chaos/test_stores.py::test_what_a_dead_process_left_unsynced_is_synced_at_the_start",
    ),
    Mutant(
        "goes on after a failed sync",
        "S13: any error of a commit of the log stops the trio (trap 30a)",
        "store/log.py",
        "        if self._failure is not None:\n            raise SyncFailed(self._failure)\n",
        "        pass\n",
        test="tests/unit/store/test_log.py::test_nothing_goes_on_after_a_failed_sync",
    ),
    Mutant(
        "a failed sync is a crash like any other",
        "S13: the trio stays down until an operator acts",
        RESTARTS,
        "_HALTING = (SyncFailed.exit_code, IdentityRefused.exit_code, CorruptLog.exit_code)",
        "_HALTING = (IdentityRefused.exit_code, CorruptLog.exit_code)",
        test="tests/unit/actors/test_supervisor.py::test_a_failed_sync_halts_the_node_but_not_its_supervisor",
    ),
    Mutant(
        "a failed sync is forgotten by the next start",
        "S13: after any start the node refuses until it is acknowledged",
        RESTARTS,
        "        return [RecordSyncFailure(detail)]\n",
        "        return []\n",
        test="tests/unit/actors/test_supervisor.py::"
        "test_a_failed_sync_outlives_the_supervisor_until_it_is_acknowledged",
    ),
    Mutant(
        "a flipped bit is the truth",
        "an entry is checked when it is read (trap 29)",
        "store/log.py",
        "                if not entry_is_sound(index, data):\n",
        "                if False:\n",
        test="tests/unit/store/test_log.py",
    ),
    Mutant(
        "a lost log is an empty one",
        "a node with a lost log never votes with a shortened one (trap 28)",
        "store/log.py",
        "            if self.created and not create:\n",
        "            if False:\n",
        test="tests/unit/store/test_log.py::test_a_lost_log_is_refused_again_and_again",
    ),
)
