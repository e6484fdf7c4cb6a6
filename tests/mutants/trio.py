"""Defects of the shells of the trio in what the rules of the cores rest on: times, order, what is taken back."""

from tests.mutants.mutant import Mutant

ELECTION = "actors/election.py"
REPLICATION = "actors/replication.py"
STORAGE = "actors/storage.py"
PROMISES = "tests/unit/actors/test_trio_promises.py"

MUTANTS = (
    Mutant(
        "a node is told that it started long ago",
        "S7: no grant within one minimum election time-out of one's own start",
        ELECTION,
        "timing, self._started, clock(), random.random)",
        "timing, 0.0, clock(), random.random)",
        test=f"{PROMISES}::test_within_a_time_out_of_its_start_a_node_grants_nothing",
    ),
    Mutant(
        "a promise of a few heartbeats",
        "S7: a promise lasts for the minimum election time-out of the cluster",
        ELECTION,
        "            settings.election_timeout_min_ms / 1000,\n            settings.election_timeout_max_ms",
        "            settings.heartbeat_ms / 1000,\n            settings.election_timeout_max_ms",
        test=f"{PROMISES}::test_within_a_time_out_of_its_start_a_node_grants_nothing",
    ),
    Mutant(
        "a promise that began before it was given",
        "S7: a promise counts from when the heartbeat is read (trap 42)",
        ELECTION,
        "            self._do(self._election.step(message, clock(), header.sender))\n",
        "            self._do(self._election.step(message, self._started, header.sender))\n",
        test=f"{PROMISES}::test_a_promise_counts_from_when_the_heartbeat_is_read",
    ),
    Mutant(
        "a lease as long as the longest time-out",
        "S12: a lease is shorter than the promise (trap 42)",
        ELECTION,
        "lease_seconds(settings.election_timeout_min_ms / 1000)",
        "lease_seconds(settings.election_timeout_max_ms / 1000)",
        test=f"{PROMISES}::test_a_lease_is_shorter_than_the_promise_of_the_settings",
    ),
    Mutant(
        "a lease that is taken back stays on the page",
        "S7, S8: the lease is off the page before its leader grants, or hands over",
        ELECTION,
        "            self._page.clear(Group.LEASE)\n        else:\n",
        "            pass\n        else:\n",
        test=f"{PROMISES}::test_a_lease_is_off_the_page_when_its_leader_steps_down",
    ),
    Mutant(
        "election hears answers to the dead",
        "S1: an answer to another incarnation is dropped (election)",
        ELECTION,
        "self._identity.check_answer(head, frame)",
        "self._identity.check(head, frame)",
        test=f"{PROMISES}::test_election_hears_no_answer_to_another_incarnation",
    ),
    Mutant(
        "replication counts answers to the dead",
        "S1: an answer to another incarnation is dropped (replication)",
        REPLICATION,
        "self._identity.check_answer(head, frame).sender",
        "self._identity.check(head, frame).sender",
        test=f"{PROMISES}::test_replication_counts_no_answer_to_another_incarnation",
    ),
    Mutant(
        "a copy of what was refused before the first term is made",
        "S9: what was refused is not made later, also where it was refused before this node ever led (trap 55)",
        REPLICATION,
        ", addresses, seen=self._core.seen)",
        ", addresses)",
        test=f"{PROMISES}::test_what_was_refused_before_the_first_term_is_not_made_in_it",
    ),
    Mutant(
        "answers before the log is committed",
        "S6: nothing is answered before it is durable (traps 1, 20, 21)",
        STORAGE,
        "        self._log.commit()\n        for (link, route, header), answer in answers.take():\n",
        "        for (link, route, header), answer in answers.take():\n",
        test=f"{PROMISES}::test_nothing_is_answered_before_the_log_is_committed",
    ),
    Mutant(
        "a part of an entry is all of it",
        "lack of space blocks apply, and never changes it (trap 56)",
        STORAGE,
        "            self._applier.forget()\n",
        "",
        test=f"{PROMISES}::test_an_entry_that_found_no_room_is_applied_whole_once_there_is_some",
    ),
    Mutant(
        "a storage without room takes entries",
        "below a quarter of the reserve a follower takes no entries",
        STORAGE,
        "self._room.admit(message, self._space.exhausted(), self._log)",
        "self._room.admit(message, False, self._log)",
        test=f"{PROMISES}::test_a_storage_without_room_takes_no_entry_and_says_that_it_lives",
    ),
    Mutant(
        "storage keeps to itself that results are lost",
        "what a snapshot skipped is told before anything behind it (trap 55)",
        STORAGE,
        "        self._gateways.skipped()\n",
        "",
        test=f"{PROMISES}::test_an_installed_state_is_published_first_and_lost_results_are_told_before_what_follows",
    ),
    Mutant(
        "election hears other clusters",
        "nothing of another cluster is heard (election; trap 36)",
        ELECTION,
        "        header = self._identity.check(head, frame)\n",
        "        header = codec.peer_header.decode(head)\n",
        test=f"{PROMISES}::test_election_hears_nobody_of_another_cluster",
    ),
    Mutant(
        "storage hears other clusters",
        "nothing of another cluster is heard (storage; trap 36)",
        STORAGE,
        "            header = self._identity.check(head, frame)\n",
        "            header = codec.peer_header.decode(head)\n",
        test=f"{PROMISES}::test_storage_takes_nothing_of_another_cluster",
    ),
)
