"""When a storage that has started counts as one that has caught up."""

from zraft.core.catching_up import ROUND_SECONDS, CatchingUp

LONG, SHORT = ROUND_SECONDS, ROUND_SECONDS / 2


def test_it_has_not_before_anybody_has_said_what_is_committed() -> None:
    catching_up = CatchingUp()
    assert catching_up.look(7, now=0.0) == 0
    catching_up.told(0)  # by a leader that does not know of any commit yet
    assert catching_up.look(7, now=LONG) == 0


def test_it_has_when_it_lacks_nothing() -> None:
    catching_up = CatchingUp()
    catching_up.told(7)
    assert catching_up.look(7, now=0.0) is None


def test_it_has_once_what_there_was_took_a_short_time() -> None:
    catching_up = CatchingUp()
    catching_up.told(10)
    assert catching_up.look(7, now=0.0) == 10
    catching_up.told(12)
    assert catching_up.look(9, now=0.1) == 12
    assert catching_up.look(10, now=SHORT) is None


def test_another_round_begins_with_what_was_committed_during_a_long_one() -> None:
    catching_up = CatchingUp()
    catching_up.told(10)
    assert catching_up.look(7, now=0.0) == 10
    catching_up.told(20)
    assert catching_up.look(10, now=LONG) == 20
    assert catching_up.look(19, now=LONG + SHORT) == 20
    catching_up.told(30)
    assert catching_up.look(20, now=LONG + SHORT) is None


def test_a_leader_that_knows_of_less_takes_nothing_back() -> None:
    catching_up = CatchingUp()
    catching_up.told(10)
    catching_up.told(8)
    assert catching_up.look(8, now=0.0) == 10


def test_it_stays_so_however_far_behind() -> None:
    """An overload must not take all followers from those who balance between them."""
    catching_up = CatchingUp()
    catching_up.told(7)
    assert catching_up.look(7, now=0.0) is None
    catching_up.told(1_000_000)
    assert catching_up.look(7, now=100 * LONG) is None
