"""Defects of how the shells of the trio begin and whom they believe: S1, S7 before storage was asked, DESIGN 4."""

from tests.mutants.mutant import Mutant

ELECTION = "actors/election.py"
REPLICATION = "actors/replication.py"
STORAGE = "actors/storage.py"
TRIO = "tests/unit/actors/test_trio.py"
PROCESS = "tests/unit/actors/test_process.py"
DROPPED = "S1: another incarnation's message is dropped"
CLEARED = "DESIGN 4: a new incarnation takes back what the one before published"

MUTANTS = (
    Mutant(
        "a child does not ask to die with its parent",
        "S1: children die with their parent",
        "actors/launch.py",
        "    die_with_parent(launch.parent)\n",
        "",
        test="tests/unit/actors/test_launch.py::test_a_child_whose_parent_is_another_does_not_live",
    ),
    Mutant(
        "a child outlives its parent",
        "S1: children die with their parent",
        "store/processes.py",
        "    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:\n",
        "    if False:\n",
        test=f"{PROCESS}::test_an_actor_dies_with_its_killed_supervisor_and_the_directory_is_free",
    ),
    Mutant(
        "a child whose parent died first lives on",
        "S1: children die with their parent, also one that died before they could ask for it",
        "store/processes.py",
        "    if os.getppid() != parent_pid:\n",
        "    if False:\n",
        test=f"{PROCESS}::test_a_child_of_a_parent_that_is_already_gone_exits_at_once",
    ),
    Mutant(
        "a removed member is heard under the name of its successor",
        "clients are sent to the member that has the name",
        "actors/gateway_peers.py",
        "            if self._identity.name_of(sender) == message.name:\n",
        "            if True:\n",
        test="tests/unit/actors/test_gateway_peers.py",
    ),
    Mutant(
        "a verification outlives its node",
        "S1: children die with their parent",
        "store/soundness.py",
        "        die_with_parent(int(sys.argv[4]))\n",
        "        pass\n",
        test="tests/unit/store/test_soundness.py",
    ),
    Mutant(
        "election believes the storage of the dead",
        f"{DROPPED} (election, from storage and replication)",
        ELECTION,
        "for incarnation, frame in drain(socket, MESSAGES_PER_DRAIN) if incarnation == self._local]",
        "for _, frame in drain(socket, MESSAGES_PER_DRAIN)]",
        test=f"{TRIO}::test_election_drops_what_another_incarnations_storage_says",
    ),
    Mutant(
        "election believes the replication of the dead",
        f"{DROPPED} (election, from replication)",
        ELECTION,
        "            for frame in self._of_incarnation(self._replication):\n",
        "            for _, frame in drain(self._replication, MESSAGES_PER_DRAIN):\n",
        test=f"{TRIO}::test_election_drops_what_another_incarnations_replication_says",
    ),
    Mutant(
        "election answers gateways of the dead",
        f"{DROPPED} (election, from a gateway)",
        ELECTION,
        "                if incarnation == self._local:\n                    self._on_gateway(",
        "                if incarnation:\n                    self._on_gateway(",
        test=f"{TRIO}::test_election_drops_what_another_incarnations_gateway_says",
    ),
    Mutant(
        "replication leads for the election of the dead",
        f"{DROPPED} (replication, from election)",
        REPLICATION,
        "                if incarnation == self._local:\n                    self._on_election(frame)\n",
        "                if incarnation:\n                    self._on_election(frame)\n",
        test=f"{TRIO}::test_replication_drops_what_another_incarnations_election_says",
    ),
    Mutant(
        "replication counts the storage of the dead",
        f"{DROPPED} (replication, from storage)",
        REPLICATION,
        "                if incarnation == self._local:\n                    self._step(codec.storage_to_replication",
        "                if incarnation:\n                    self._step(codec.storage_to_replication",
        test=f"{TRIO}::test_replication_drops_what_another_incarnations_storage_says",
    ),
    Mutant(
        "replication takes proposals for the dead",
        f"{DROPPED} (replication, from a gateway)",
        REPLICATION,
        "                if incarnation == self._local:\n                    self._proposer = route\n",
        "                if incarnation:\n                    self._proposer = route\n",
        test=f"{TRIO}::test_replication_drops_what_another_incarnations_gateway_says",
    ),
    Mutant(
        "storage votes for the election of the dead",
        f"{DROPPED} (storage, from election)",
        STORAGE,
        "                if incarnation == self._local:  # another incarnation's message is dropped (S1)\n",
        "                if incarnation:\n",
        test=f"{TRIO}::test_storage_drops_what_another_incarnations_election_says",
    ),
    Mutant(
        "storage appends for the replication of the dead",
        f"{DROPPED} (storage, from replication)",
        STORAGE,
        "                if incarnation == self._local:\n                    message = codec.replication_to_storage",
        "                if incarnation:\n                    message = codec.replication_to_storage",
        test=f"{TRIO}::test_storage_drops_what_another_incarnations_replication_says",
    ),
    Mutant(
        "storage registers gateways with the dead",
        f"{DROPPED} (storage, from a gateway)",
        "actors/results.py",
        "            if incarnation != self._incarnation:\n",
        "            if False:\n",
        test="tests/unit/actors/test_results.py::test_another_incarnations_message_is_dropped",
    ),
    Mutant(
        "a gateway believes the results of the dead",
        f"{DROPPED} (gateway, from the trio)",
        "actors/trio.py",
        "                    if incarnation == self._frame:  # S1\n",
        "                    if incarnation:\n",
        test="tests/unit/actors/test_gateway.py::test_another_incarnations_message_is_dropped",
    ),
    Mutant(
        "acknowledges before storage was asked",
        "S7: before it has asked storage for its term, election neither grants nor acknowledges",
        ELECTION,
        "        if self._identity is None or self._election is None:\n            return  # not formed",
        "        if self._identity is None or self._election is None:\n"
        "            if isinstance(message, Heartbeat):\n"
        "                said = HeartbeatAnswer(message.term, message.round, True, message.term)\n"
        "                send(self._control, [route, head, codec.encode(said)])\n"
        "            return  # not formed",
        test=f"{TRIO}::test_election_says_nothing_before_storage_has_told_its_term",
    ),
    Mutant(
        "grants before storage was asked",
        "S7: before it has asked storage for its term, election neither grants nor acknowledges",
        ELECTION,
        "        if self._identity is None or self._election is None:\n            return  # not formed",
        "        if self._identity is None or self._election is None:\n"
        "            if isinstance(message, Vote):\n"
        "                said = VoteAnswer(message.term, message.ballot, True, message.term)\n"
        "                send(self._control, [route, head, codec.encode(said)])\n"
        "            return  # not formed",
        test=f"{TRIO}::test_election_says_nothing_before_storage_has_told_its_term",
    ),
    Mutant(
        "a lease outlives its election actor",
        CLEARED,
        ELECTION,
        "        self._page.clear(Group.LEASE)\n        self._page.clear(Group.ROLE)\n",
        "",
        test=f"{TRIO}::test_a_new_incarnation_takes_back_what_the_one_before_published",
    ),
    Mutant(
        "a commit index outlives its replication actor",
        CLEARED,
        REPLICATION,
        "        self._page.clear(Group.COMMIT)\n",
        "",
        test=f"{TRIO}::test_a_new_incarnation_takes_back_what_the_one_before_published",
    ),
    Mutant(
        "a state outlives its storage actor",
        CLEARED,
        STORAGE,
        "        self._page.clear(Group.STORAGE)\n        self._page.clear(Group.IDENTITY)\n",
        "",
        test=f"{TRIO}::test_a_new_incarnation_takes_back_what_the_one_before_published",
    ),
    Mutant(
        "the page of a trio that is down says that it leads",
        "DESIGN 4: what a dead incarnation published is taken back before the next one starts",
        "actors/supervisor.py",
        "            self._premises.page.clear(group)\n",
        "            pass\n",
        test="tests/unit/actors/test_supervisor.py::test_a_failed_sync_halts_the_node_but_not_its_supervisor",
    ),
)
