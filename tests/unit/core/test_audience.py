"""Which gateways a storage tells what, and in which order."""

import pytest

from zraft.core.audience import GATEWAYS_MAX, Audience
from zraft.protocol.entries import Origin
from zraft.protocol.local import Applied, AppliedTerm, Register, Registered, Results, WaitApplied

NONCE = 77


def results(number: int, gateway: int = 0, nonce: int = NONCE) -> Results:
    return Results(Origin(1, gateway, nonce, number), number, b"\x90")


@pytest.fixture
def audience() -> Audience[str]:
    """Of gateway 0, at ``a``."""
    audience = Audience[str]()
    assert audience.register("a", Register(0, NONCE)) == [(0, Registered(True))]
    return audience


@pytest.fixture
def both(audience: Audience[str]) -> Audience[str]:
    """Gateway 1, at ``b``, too."""
    assert audience.register("b", Register(1, 88)) == [(1, Registered(True))]
    return audience


# --- registration


def test_a_first_registration_is_fresh_and_the_same_again_is_not(audience: Audience[str]) -> None:
    assert audience.register("a", Register(0, NONCE)) == [(0, Registered(False))]
    assert audience.place(0) == "a"


def test_another_start_of_the_gateway_is_fresh(audience: Audience[str]) -> None:
    assert audience.register("a", Register(0, NONCE + 1)) == [(0, Registered(True))]


def test_another_place_is_fresh_since_messages_to_the_one_before_may_be_lost(audience: Audience[str]) -> None:
    assert audience.register("b", Register(0, NONCE)) == [(0, Registered(True))]
    assert audience.place(0) == "b"


def test_one_that_was_forgotten_hears_nothing_until_it_is_fresh_again(audience: Audience[str]) -> None:
    audience.wait("a", WaitApplied(5), 1)
    audience.forget(0)
    assert audience.place(0) is None
    assert audience.tell([results(1), AppliedTerm(2)], 9) == []
    assert audience.skipped() == []
    assert audience.register("a", Register(0, NONCE)) == [(0, Registered(True))]
    assert audience.tell([], 10) == []  # its waits were forgotten with it


def test_the_number_of_gateways_is_bounded(audience: Audience[str]) -> None:
    for number in range(1, GATEWAYS_MAX + 1):
        audience.register("b", Register(number, NONCE))
    assert audience.place(0) is None
    assert audience.place(1) == "b"


# --- results


def test_results_go_to_the_gateway_that_proposed(both: Audience[str]) -> None:
    mine, other, again = results(1), results(2, gateway=1, nonce=88), results(3)
    assert both.tell([mine, other, again], 3) == [(0, mine), (1, other), (0, again)]


@pytest.mark.parametrize("unknown", [results(1, gateway=5), results(1, nonce=NONCE - 1)], ids=["gateway", "start"])
def test_results_for_unknown_origins_are_dropped(audience: Audience[str], unknown: Results) -> None:
    assert audience.tell([unknown], 1) == []


def test_a_new_term_is_told_to_all_in_its_place_among_the_results(both: Audience[str]) -> None:
    told = both.tell([results(1), AppliedTerm(4), results(2)], 3)
    assert told == [(0, results(1)), (0, AppliedTerm(4)), (1, AppliedTerm(4)), (0, results(2))]


def test_what_a_snapshot_skipped_is_told_to_all(both: Audience[str]) -> None:
    assert both.skipped() == [(0, Registered(True)), (1, Registered(True))]


# --- waits


def test_a_wait_is_answered_once_when_its_index_is_applied(both: Audience[str]) -> None:
    assert both.wait("a", WaitApplied(7), 5) == []
    assert both.wait("a", WaitApplied(9), 5) == []
    assert both.tell([], 6) == []
    assert both.tell([], 8) == [(0, Applied(8))]
    assert both.tell([results(9)], 20) == [(0, results(9)), (0, Applied(20))]
    assert both.tell([], 21) == []


def test_a_wait_for_what_has_been_applied_is_answered_at_once(both: Audience[str]) -> None:
    assert both.wait("b", WaitApplied(7), 7) == [(1, Applied(7))]


def test_a_wait_of_a_stranger_is_dropped(audience: Audience[str]) -> None:
    assert audience.wait("b", WaitApplied(1), 1) == []
    assert audience.tell([], 2) == []
