"""How fast something comes."""

import pytest

from zraft.core.pace import SPAN_SECONDS, Pace

FAST = 100.0
EDGE = int(FAST * SPAN_SECONDS)


@pytest.mark.parametrize(("came", "fast"), [(0, False), (EDGE, False), (EDGE + 1, True)])
def test_more_than_so_many_a_second_are_fast(came: int, fast: bool) -> None:
    pace = Pace()
    pace.look(7, 10.0, FAST)
    pace.look(7 + came, 10.0 + SPAN_SECONDS, FAST)
    assert pace.is_fast is fast


def test_nothing_is_known_before_a_span_is_over() -> None:
    pace = Pace()
    for at in (0.0, SPAN_SECONDS / 2):
        pace.look(round(1e6 * at), at, FAST)
        assert not pace.is_fast


def test_a_span_may_last_longer_and_the_next_one_begins_where_it_ends() -> None:
    pace = Pace()
    pace.look(0, 0.0, FAST)
    pace.look(1_000, 9.0, FAST)  # 111 a second
    assert pace.is_fast
    pace.look(1_000, 9.0 + SPAN_SECONDS, FAST)
    assert not pace.is_fast
