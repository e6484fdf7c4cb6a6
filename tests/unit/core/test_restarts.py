"""The restart policy: whole effect lists, in virtual time."""

import pytest

from zraft.core.restarts import (
    BACKOFF_SECONDS_MAX,
    CRASH_LOOP_RESTARTS,
    CRASH_LOOP_SECONDS,
    GATEWAY_STOP_SECONDS,
    GOOD_RUN_SECONDS,
    STOP_SECONDS,
    TRIO,
    Boot,
    Effect,
    Exited,
    Finished,
    Forget,
    Halted,
    Kill,
    RecordSyncFailure,
    Restarts,
    Start,
    StopRequested,
    Terminate,
    Tick,
    Withdraw,
    sync_failure_reason,
)
from zraft.errors import (
    ConfigurationError,
    CorruptLog,
    CorruptState,
    IdentityRefused,
    InvariantViolated,
    NotYetMember,
    SyncFailed,
)


@pytest.fixture
def running() -> Restarts:
    restarts = Restarts(["gateway"])
    restarts.step(Boot(), now=0.0)
    return restarts


def end_trio(restarts: Restarts, now: float, exit_code: int = -9, words: str = "") -> list[Effect]:
    """Lets storage die, and then those that are killed for it; what the last exit brings."""
    restarts.step(Exited("storage", exit_code, words), now)
    restarts.step(Exited("election", -9), now)
    return restarts.step(Exited("replication", -9), now)


def test_everything_is_started_at_boot() -> None:
    restarts = Restarts(["gateway-0", "gateway-1"])
    assert restarts.step(Boot(), now=0.0) == [Start(TRIO), Start(("gateway-0",)), Start(("gateway-1",))]
    assert restarts.problem(0.0) == ""
    assert restarts.next_deadline() is None


def test_a_dead_gateway_is_restarted_alone(running: Restarts) -> None:
    assert running.step(Exited("gateway", -9), now=40.0) == [Start(("gateway",))]
    assert running.restarts == {"election": 0, "replication": 0, "storage": 0, "gateway": 1}


@pytest.mark.parametrize("first", TRIO)
def test_a_dead_actor_of_the_trio_takes_the_others_along(running: Restarts, first: str) -> None:
    others = tuple(actor for actor in TRIO if actor != first)
    assert running.step(Exited(first, -11), now=40.0) == [Withdraw(), Kill(others)]
    assert running.problem(40.0).startswith(f"{first} not running; {first} ended (killed by signal 11)")


def test_all_three_exits_are_awaited_before_the_trio_starts_again(running: Restarts) -> None:  # S1
    assert running.step(Exited("storage", 70), now=40.0) == [Withdraw(), Kill(("election", "replication"))]
    assert running.step(Exited("election", -9), now=40.1) == []
    assert running.step(Tick(), now=60.0) == []
    assert running.next_deadline() is None
    assert running.step(Exited("replication", -9), now=60.1) == [Forget(), Start(TRIO)]
    assert running.restarts == {"election": 1, "replication": 1, "storage": 1, "gateway": 0}


def test_a_gateway_that_dies_with_the_trio_does_not_wait_for_it(running: Restarts) -> None:
    running.step(Exited("election", -9), now=40.0)
    assert running.step(Exited("gateway", -9), now=40.0) == [Start(("gateway",))]


def test_an_exit_that_nobody_asked_for_is_a_failure_even_with_code_0(running: Restarts) -> None:
    assert running.step(Exited("gateway", 0), now=1.0) == [Start(("gateway",))]
    assert running.step(Exited("gateway", 0), now=1.0) == []


def test_a_crash_loop_backs_off_up_to_a_limit(running: Restarts) -> None:
    now = 100.0
    waits = []
    for _ in range(10):
        effects = end_trio(running, now)
        due = running.next_deadline()
        waits.append(0.0 if due is None else round(due - now, 3))
        if due is not None:
            assert effects == [Forget()]
            assert running.step(Tick(), due - 0.01) == []
            assert running.step(Tick(), due) == [Start(TRIO)]
            now = due
        now += 0.5
    assert waits == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MAX]


def test_a_good_run_ends_the_back_off(running: Restarts) -> None:
    assert running.step(Exited("gateway", 1), now=40.0) == [Start(("gateway",))]
    assert running.step(Exited("gateway", 1), now=41.0) == []
    assert running.step(Tick(), now=41.1) == [Start(("gateway",))]
    assert running.step(Exited("gateway", 1), now=41.2 + GOOD_RUN_SECONDS) == [Start(("gateway",))]


def test_back_off_is_each_unit_s_own(running: Restarts) -> None:
    running.step(Exited("gateway", 1), now=40.0)
    running.step(Exited("gateway", 1), now=40.0)
    assert end_trio(running, now=40.0) == [Forget(), Start(TRIO)]


def test_a_crash_loop_turns_health_red_until_it_is_over(running: Restarts) -> None:
    now = 40.0
    for count in range(CRASH_LOOP_RESTARTS + 1):
        assert running.problem(now) == "", f"after {count} restarts"
        running.step(Exited("gateway", 70, "no luck"), now)
        now = running.next_deadline() or now
        running.step(Tick(), now)
    assert running.problem(now) == "6 restarts of gateway within 60 s; gateway ended (exit code 70): no luck"
    assert running.problem(40.0 + CRASH_LOOP_SECONDS) == ""


def test_a_failed_sync_halts_the_trio_for_good(running: Restarts) -> None:  # S13, trap 30a
    reason = sync_failure_reason("EIO from fdatasync")
    words = "EIO from fdatasync"
    assert running.step(Exited("storage", SyncFailed.exit_code, words), now=40.0) == [
        Withdraw(),
        Kill(("election", "replication")),
        RecordSyncFailure(words),
    ]
    assert running.problem(40.0) == reason
    assert running.step(Exited("election", -9), now=40.1) == []
    assert running.step(Exited("replication", -9), now=40.2) == [Forget(), Halted(reason)]
    assert running.step(Tick(), now=4000.0) == []
    assert running.next_deadline() is None
    assert running.problem(4000.0) == reason
    assert "--acknowledge-fsync-failure" in reason


def test_a_failed_sync_counts_though_another_actor_died_first(running: Restarts) -> None:  # S13
    running.step(Exited("replication", -9), now=40.0)
    assert running.step(Exited("storage", SyncFailed.exit_code), now=40.0) == [
        RecordSyncFailure("storage ended (exit code 76)")
    ]
    assert running.step(Exited("election", -9), now=40.0) == [Forget(), Halted(running.problem(40.0))]


@pytest.mark.parametrize("error", [IdentityRefused, CorruptLog])
def test_a_directory_that_is_not_ours_or_is_damaged_halts_the_trio(
    running: Restarts, error: type[IdentityRefused | CorruptLog]
) -> None:
    assert end_trio(running, 40.0, error.exit_code, words="which, and the way out") == [
        Forget(),
        Halted("which, and the way out"),
    ]
    assert running.problem(40.0) == "which, and the way out"


def test_a_gateway_halts_nothing(running: Restarts) -> None:
    assert running.step(Exited("gateway", SyncFailed.exit_code), now=40.0) == [Start(("gateway",))]


def test_damage_that_a_gateway_reads_halts_the_trio(running: Restarts) -> None:  # trap 29
    words = "the record of revision 7/0 does not match its checksum, and the way out"
    assert running.step(Exited("gateway", CorruptState.exit_code, words), now=40.0) == [
        Withdraw(),
        Kill(TRIO),
        Start(("gateway",)),
    ]
    for actor in TRIO[:-1]:
        assert running.step(Exited(actor, -9), now=40.1) == []
    assert running.step(Exited(TRIO[-1], -9), now=40.2) == [Forget(), Halted(words)]
    assert running.step(Tick(), now=4000.0) == []
    assert running.problem(4000.0) == words


def test_a_halted_node_still_restarts_its_gateway(running: Restarts) -> None:
    end_trio(running, 40.0, CorruptLog.exit_code)
    assert running.step(Exited("gateway", -9), now=80.0) == [Start(("gateway",))]


def test_a_failure_on_record_keeps_the_trio_from_its_first_start() -> None:  # S13
    restarts = Restarts(["gateway"])
    assert restarts.step(Boot(halted="look at the disk"), now=0.0) == [Halted("look at the disk"), Start(("gateway",))]
    assert restarts.problem(0.0) == "look at the disk"
    assert restarts.step(Tick(), now=1000.0) == []


def test_a_stop_ends_the_gateways_first(running: Restarts) -> None:
    assert running.step(StopRequested(), now=40.0) == [Terminate(("gateway",))]
    assert running.problem(40.0) == "the node is stopping"
    assert running.step(Exited("gateway", 0), now=40.1) == [Withdraw(), Terminate(TRIO)]
    assert running.step(Exited("election", 0), now=40.2) == []
    assert running.step(Exited("storage", 0), now=40.2) == []
    assert running.step(Exited("replication", 0), now=40.3) == [Forget(), Finished(0)]


def test_what_does_not_stop_in_time_is_killed_once(running: Restarts) -> None:
    running.step(StopRequested(), now=40.0)
    assert running.next_deadline() == 40.0 + GATEWAY_STOP_SECONDS
    assert running.step(Tick(), now=40.0 + GATEWAY_STOP_SECONDS) == [Kill(("gateway",))]
    assert running.step(Exited("gateway", -9), now=42.1) == [Withdraw(), Terminate(TRIO)]
    assert running.next_deadline() == 40.0 + STOP_SECONDS
    assert running.step(Exited("election", 0), now=42.2) == []
    assert running.step(Tick(), now=40.0 + STOP_SECONDS) == [Kill(("replication", "storage"))]
    assert running.step(Tick(), now=46.0) == []
    assert running.next_deadline() is None
    running.step(Exited("storage", -9), now=46.0)
    assert running.step(Exited("replication", -9), now=46.0) == [Forget(), Finished(0)]


def test_a_second_wish_to_stop_changes_nothing(running: Restarts) -> None:
    running.step(StopRequested(), now=40.0)
    assert running.step(StopRequested(), now=40.1) == []


def test_a_stop_cancels_a_restart_that_is_due(running: Restarts) -> None:
    end_trio(running, 40.0)
    end_trio(running, 40.1)
    running.step(StopRequested(), now=40.15)
    assert running.step(Exited("gateway", 0), now=40.3) == [Finished(0)]


def test_a_stop_while_the_trio_is_being_killed_waits_for_its_exits(running: Restarts) -> None:  # S1
    running.step(Exited("storage", -9), now=40.0)
    running.step(StopRequested(), now=40.0)
    assert running.step(Exited("gateway", 0), now=40.1) == []
    assert running.step(Exited("election", -9), now=40.1) == []
    assert running.step(Exited("replication", -9), now=40.1) == [Forget(), Finished(0)]


def test_a_halted_node_stops_when_it_is_told_to() -> None:
    restarts = Restarts([])
    restarts.step(Boot(halted="look at the disk"), now=0.0)
    assert restarts.step(StopRequested(), now=1.0) == [Finished(0)]


def test_a_failed_sync_during_the_stop_is_still_recorded(running: Restarts) -> None:  # S13
    running.step(StopRequested(), now=40.0)
    running.step(Exited("gateway", 0), now=40.0)
    assert running.step(Exited("storage", SyncFailed.exit_code, "EIO"), now=40.1) == [RecordSyncFailure("EIO")]


def test_a_wrong_setting_stops_the_node_with_its_exit_code(running: Restarts) -> None:
    assert running.step(Exited("gateway", ConfigurationError.exit_code), now=0.2) == [Withdraw(), Terminate(TRIO)]
    for actor in ("election", "replication"):
        assert running.step(Exited(actor, 0), now=0.3) == []
    assert running.step(Exited("storage", 0), now=0.3) == [Forget(), Finished(ConfigurationError.exit_code)]


def test_settings_that_worked_once_are_not_wrong(running: Restarts) -> None:
    assert running.step(Exited("gateway", -9), now=40.0) == [Start(("gateway",))]
    assert running.step(Exited("gateway", ConfigurationError.exit_code, "port taken"), now=40.1) == []
    assert running.step(Tick(), now=40.2) == [Start(("gateway",))]


def begin_anew(running: Restarts) -> None:
    assert running.step(Exited("election", NotYetMember.exit_code), now=40.0) == [
        Withdraw(),
        Kill(("replication", "storage")),
        Terminate(("gateway",)),
    ]


def end_all(running: Restarts) -> list[Effect]:
    effects = []
    for actor in ("gateway", "replication", "storage"):
        effects += running.step(Exited(actor, -9), now=40.1)
    return effects


def test_a_node_that_must_join_first_ends_to_do_so(running: Restarts) -> None:
    begin_anew(running)
    assert end_all(running) == [Forget(), Finished(NotYetMember.exit_code)]


def test_a_stop_comes_before_joining(running: Restarts) -> None:
    begin_anew(running)
    assert running.step(StopRequested(), now=40.0) == []
    assert end_all(running) == [Forget(), Finished(0)]


def test_an_actor_that_does_not_live_can_not_exit(running: Restarts) -> None:
    with pytest.raises(InvariantViolated, match="only a living actor exits"):
        running.step(Exited("gateway-7", 0), now=1.0)
