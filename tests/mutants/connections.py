"""Defects of connections: what forks, what moves to another address, and what sends without bounds (traps 60 to 62)."""

from tests.mutants.mutant import Mutant

SOCKETS = "actors/sockets.py"
BOUNDS = "tests/unit/actors/test_sockets.py"
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
        "        if self._pid != os.getpid():\n",
        "        if not self._pid:\n",
        test="tests/wire/test_pipeline.py::test_a_forked_child_has_connections_of_its_own",
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
