"""Defects of connections: forks, interrupts, other addresses, and what sends without bounds (traps 60 to 62)."""

from tests.mutants.mutant import Mutant

SOCKETS = "actors/sockets.py"
BOUNDS = "tests/unit/actors/test_sockets.py"
INTERRUPTS = "tests/wire/test_interrupts.py"
PEERS = "tests/unit/actors/test_peers.py"

MUTANTS = (
    Mutant(
        "a forked child uses its parent's connections",
        "a forked child has connections of its own (trap 60)",
        "client/links.py",
        "        if process.pid != os.getpid():\n",
        "        if False:\n",
        test="tests/wire/test_links.py::test_a_forked_child_has_connections_of_its_own",
    ),
    Mutant(
        "a forked child's pipeline uses its parent's connections",
        "a forked child has connections of its own (trap 60)",
        "client/pipeline.py",
        "        if dealer is not None and dealer.pid != os.getpid():\n",
        "        if False:\n",
        test="tests/wire/test_pipeline.py::test_a_forked_child_has_connections_of_its_own",
    ),
    Mutant(
        "what an interrupted call had open stays open",
        "the end waits for no connection that nobody will close",
        "client/links.py",
        "            if user not in self.calls and (also_idle or user is not None):\n",
        "            if user is None and also_idle:\n",
        test=f"{INTERRUPTS}::test_an_interrupt_anywhere_in_a_call_leaves_a_client_that_works_and_closes",
    ),
    Mutant(
        "a call in a signal's handler waits for the step that it interrupted",
        "locks are such that a call within a call of the same thread passes",
        "client/links.py",
        "        self.lock = threading.RLock()\n",
        "        self.lock = threading.Lock()  # type: ignore[assignment]\n",
        test=f"{INTERRUPTS}::test_a_handler_may_call_anywhere_in_a_call",
    ),
    Mutant(
        "a lookup is waited for before its thread runs",
        "an interrupt leaves no name that can't be resolved any more",
        "client/names.py",
        "            _thread.start_new_thread(self._resolve, (endpoint, host, port, lookup))\n",
        "            self._running[endpoint] = lookup\n"
        "            what = endpoint, host, port, lookup\n"
        "            __import__('threading').Thread(target=self._resolve, args=what).start()\n",
        test=f"{INTERRUPTS}::test_an_interrupt_while_a_name_is_looked_up_does_not_last",
    ),
    Mutant(
        "a connection that was taken counts as one to a node",
        "nothing is sent to whoever has not spoken as a node does: a write would be of unknown outcome",
        "connection.py",
        "            self.is_open = not self.is_lost and (self.is_open or event == _OPENED)\n",
        "            self.is_open = not self.is_lost\n",
        test="tests/wire/test_timeouts.py::test_a_server_of_another_kind_is_told_from_nobody",
    ),
    Mutant(
        "a pipeline keeps the connections of a run that was broken off",
        "answers of one run are not taken for those of the next",
        "client/pipeline.py",
        "        self._dealer = None\n        queue,",
        "        self._dealer = dealer\n        queue,",
        test=f"{INTERRUPTS}::test_a_run_that_is_interrupted_twice_leaves_nothing_to_the_next",
    ),
    Mutant(
        "a context is made without descriptors",
        "a client that has none left is unavailable, and its process lives",
        "client/connections.py",
        "for _ in range(DESCRIPTORS_MIN)",
        "for _ in range(0)",
        test=f"{INTERRUPTS}::test_without_descriptors_for_another_context_a_client_is_unavailable",
    ),
    Mutant(
        "what is heard in the midst of a step is not told again",
        "what calls share bears a step in the midst of another",
        "client/core.py",
        "            if not self.cluster and header.cluster:\n",
        "            self._last_heard = frame\n            if not self.cluster and header.cluster:\n",
        test="tests/unit/client/test_handlers.py",
    ),
    Mutant(
        "a name is looked up once",
        "peers are known by their names, which may get another address at any time (trap 61)",
        "actors/peers.py",
        "            if addresses:  # a name",
        "            if addresses and host not in self._addresses:  # a name",
        test=f"{PEERS}::test_a_name_follows_its_address",
    ),
    Mutant(
        "a link to an address that has changed stays",
        "a changed address closes and remakes the socket (trap 61)",
        "actors/peers.py",
        "    if link.address not in addresses:\n        return False\n",
        "",
        test=f"{PEERS}::test_a_changed_address_closes_the_link_and_makes_another",
    ),
    Mutant(
        "a port reads frames of any length",
        "no unbounded read from a port (trap 62)",
        SOCKETS,
        "        socket.setsockopt(zmq.MAXMSGSIZE, bytes_max)  # trap 62: no unbounded read from a port\n",
        "",
        test=f"{BOUNDS}::test_a_frame_beyond_the_bound_ends_its_connection_and_no_other",
    ),
    Mutant(
        "a peer answers with frames of any length",
        "no unbounded read from a peer (trap 62)",
        SOCKETS,
        "            int(zmq.MAXMSGSIZE): MESSAGE_BYTES_MAX,\n",
        "",
        test=f"{BOUNDS}::test_an_answer_beyond_the_bound_ends_its_connection",
    ),
)
