"""One line for a trouble that lasts, few for one that goes on and on, and one for its end."""

from zraft.core.told import AGAIN_SECONDS_MAX, PATIENCE_SECONDS, Lasts, Over, Told


def test_what_is_over_soon_is_not_told() -> None:
    told = Told()
    assert told.look("no leader", 10.0) is None
    assert told.look("no leader", 10.0 + PATIENCE_SECONDS - 0.1) is None
    assert told.look("", 10.0 + PATIENCE_SECONDS) is None


def test_what_lasts_is_told_once_and_so_is_its_end() -> None:
    told = Told()
    told.look("no leader", 10.0)
    assert told.look("no leader", 15.0) == Lasts("no leader", 5.0)
    assert told.look("no leader", 16.0) is None
    assert told.look("", 21.0) == Over(11.0)
    assert told.look("", 22.0) is None


def test_another_reason_is_the_same_trouble() -> None:
    told = Told()
    told.look("storage has not moved for 6 s", 10.0)
    assert told.look("storage has not moved for 11 s", 15.0) == Lasts("storage has not moved for 11 s", 5.0)
    assert told.look("storage has not moved for 12 s", 16.0) is None


def test_what_goes_on_is_told_ever_more_rarely() -> None:
    told = Told()
    at = [second for second in range(20_000) if told.look("no leader", float(second))]
    assert at[:4] == [5, 65, 185, 425]
    assert at[-1] - at[-2] == AGAIN_SECONDS_MAX


def test_the_next_trouble_has_the_same_patience() -> None:
    told = Told()
    told.look("no leader", 0.0)
    told.look("no leader", 5.0)
    told.look("", 6.0)
    assert told.look("no leader", 7.0) is None
    assert told.look("no leader", 12.0) == Lasts("no leader", 5.0)
