"""Defects of the client's policy: where it asks, for how long, and what it says when nothing came of it."""

from tests.mutants.mutant import Mutant

CORE = "client/core.py"
DECISIONS = "tests/unit/client/test_connecting.py"

MUTANTS = (
    Mutant(
        "a write waits for one endpoint to connect as long as it has",
        "an endpoint that takes connections and never speaks leaves a write time for others",
        CORE,
        "            connect = min(connect, self._timeout * CONNECT_SHARE)\n",
        "            pass\n",
        test=f"{DECISIONS}::test_a_write_leaves_time_for_others_when_an_endpoint_takes_no_connection",
    ),
    Mutant(
        "a write gives an endpoint a third of its time to connect",
        "a node far away, 0.4 s from being connected, can be reached within a time-out of 1 s",
        CORE,
        "CONNECT_SHARE = 1 / 2\n",
        "CONNECT_SHARE = 1 / 3\n",
        test=f"{DECISIONS}::test_a_node_far_away_can_be_reached_within_a_second",
    ),
    Mutant(
        "a time-out of any length",
        "what can't be counted in milliseconds is refused before a write is sent",
        "client/arguments.py",
        "        case int() | float() if 0 < timeout <= TIMEOUT_S_MAX:\n",
        "        case int() | float() if 0 < timeout:\n",
        test="tests/unit/client/test_arguments.py::test_a_time_out_is_a_day_at_most",
    ),
    Mutant(
        "any silent endpoint is taken for a wrong port",
        "only of one that a program gave, and that has never answered, it is asked whether it is a client port",
        CORE,
        "        endpoints.on_answer(self._endpoint)\n",
        "",
        test=f"{DECISIONS}::test_of_an_endpoint_that_never_answered_it_is_asked_whether_it_is_one",
    ),
)
