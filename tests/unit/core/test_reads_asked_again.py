"""Questions that got lost, or take long."""

from tests.unit.core.reading import (
    COMMIT,
    FIRST,
    FOLLOWING,
    LEADING,
    B,
    C,
    ask_election,
    read,
    reads as reads,
    round_answer,
)
from zraft.core.reads import (
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    AskLeader,
    Reads,
    Serve,
)
from zraft.protocol.local import RoleGroup
from zraft.protocol.peer import ReadIndexAnswer


def test_a_lost_question_is_asked_again(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    assert reads.flush(LEADING, COMMIT, PATIENCE_SECONDS) == []
    later = PATIENCE_SECONDS + 0.001
    assert reads.flush(LEADING, COMMIT, later) == []
    assert reads.flush(LEADING, COMMIT, later + RETRY_SECONDS) == [ask_election(2)]
    assert reads.on_round(round_answer(1, 5), COMMIT, later) == []
    assert reads.on_round(round_answer(2, 5), COMMIT, later) == [Serve(9, (read("a"),))]


def test_a_long_way_to_the_leader_is_waited_for(reads: Reads) -> None:
    way = 3 * PATIENCE_SECONDS
    asked: dict[int, float] = {}
    now, served = 0.0, None
    reads.submit(read("a", deadline=100.0))
    while served is None:
        for effect in reads.flush(FOLLOWING, None, now):
            assert isinstance(effect, AskLeader)
            asked[effect.message.request] = now
        for request, since in list(asked.items()):
            if now >= since + way:
                del asked[request]
                answered = reads.on_read_index(B, ReadIndexAnswer(request, 5, 9), now)
                served = answered[0] if answered else None
        now += 0.01
    assert now < 10 * way
    reads.submit(read("b", deadline=100.0))
    (effect,) = reads.flush(FOLLOWING, None, now)
    assert isinstance(effect, AskLeader)
    assert reads.flush(FOLLOWING, None, now + way) == []  # it knows by now
    assert reads.on_read_index(B, ReadIndexAnswer(effect.message.request, 5, 9), now + way)


def test_the_way_to_another_leader_is_another_one(reads: Reads) -> None:
    reads.submit(read("a", deadline=100.0))
    now = 0.0
    for _ in range(3):
        assert reads.flush(FOLLOWING, None, now)
        now += 100 * PATIENCE_SECONDS
        assert reads.flush(FOLLOWING, None, now) == []
        now += RETRY_SECONDS
    assert reads.flush(FOLLOWING, None, now)
    other = RoleGroup(6, "follower", C)
    reads.flush(other, None, now)
    (effect,) = reads.flush(other, None, now + RETRY_SECONDS)
    assert isinstance(effect, AskLeader)
    late = now + RETRY_SECONDS + PATIENCE_SECONDS + 0.001
    assert reads.flush(other, None, late) == []
    assert reads.flush(other, None, late + RETRY_SECONDS)


def test_a_question_that_could_not_be_sent_is_asked_again(reads: Reads) -> None:
    reads.submit(read("a"))
    reads.flush(LEADING, COMMIT, 0.0)
    reads.failed(FIRST + 1, 0.0)
    reads.failed(FIRST + 77, 0.0)
    assert reads.flush(LEADING, COMMIT, RETRY_SECONDS) == [ask_election(2)]
