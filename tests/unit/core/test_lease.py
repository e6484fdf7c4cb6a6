"""The leader lease (S12): how long it lasts, and who may read under it."""

import pytest

from zraft.core.lease import CLOCK_DRIFT_MAX, Lease, PublishLease, lease_seconds, leased_commit
from zraft.protocol.local import CommitGroup, LeaseGroup

LEASE = LeaseGroup(5, 20.0)
COMMIT = CommitGroup(5, 9)
TIME_OUT = 0.150


class Looked:
    """A page that notes in which order it is looked at."""

    def __init__(self, lease: LeaseGroup | None, commit: CommitGroup | None, now: float) -> None:
        self._lease, self._commit, self._now = lease, commit, now
        self.looks: list[str] = []

    def lease(self) -> LeaseGroup | None:
        self.looks.append("lease")
        return self._lease

    def commit(self) -> CommitGroup | None:
        self.looks.append("commit")
        return self._commit

    def now(self) -> float:
        self.looks.append("clock")
        return self._now


# --- how long it lasts


@pytest.mark.parametrize("leader", [1 - CLOCK_DRIFT_MAX, 1.0, 1 + CLOCK_DRIFT_MAX])
@pytest.mark.parametrize("follower", [1 - CLOCK_DRIFT_MAX, 1.0, 1 + CLOCK_DRIFT_MAX])
def test_a_lease_ends_before_any_follower_may_vote(leader: float, follower: float) -> None:  # S12, trap 42
    # [D] 6.4.1: "the lease approach assumes a bound on clock drift across servers"
    true_seconds = lease_seconds(TIME_OUT) / leader
    assert true_seconds <= TIME_OUT / follower + 1e-12


def test_a_lease_lasts_as_long_as_the_drift_allows() -> None:
    assert lease_seconds(TIME_OUT) == pytest.approx(TIME_OUT * (1 - CLOCK_DRIFT_MAX) / (1 + CLOCK_DRIFT_MAX))


def test_it_counts_from_when_the_round_was_sent() -> None:  # S12
    assert Lease(0.1).extend(5, sent=10.0) == [PublishLease(LeaseGroup(5, 10.1))]


def test_it_is_cleared_once() -> None:
    lease = Lease(0.1)
    assert lease.clear() == []
    lease.extend(5, sent=10.0)
    lease.extend(5, sent=10.05)
    assert lease.clear() == [PublishLease(None)]
    assert lease.clear() == []


def test_by_quorum_there_is_none() -> None:
    lease = Lease(0.0)
    assert lease.extend(5, sent=10.0) == []
    assert lease.clear() == []


# --- who may read under it


def test_the_clock_is_looked_at_last() -> None:  # S12: then a pause anywhere before is found out
    page = Looked(LEASE, COMMIT, now=19.9)
    assert leased_commit(page) == COMMIT
    assert page.looks == ["lease", "commit", "clock"]


@pytest.mark.parametrize("now", [20.0, 20.1])
def test_a_lease_that_has_ended_is_none(now: float) -> None:  # S12, traps 41, 65: the process was paused
    assert leased_commit(Looked(LEASE, COMMIT, now)) is None


def test_without_a_lease_there_is_no_read_under_it() -> None:
    assert leased_commit(Looked(None, COMMIT, now=19.9)) is None


@pytest.mark.parametrize("commit", [None, CommitGroup(4, 8), CommitGroup(6, 10)])
def test_the_commit_index_must_be_of_the_leases_term(commit: CommitGroup | None) -> None:  # S12, trap 40
    # A leader that has not committed in its own term does not know what the leaders before it have committed.
    assert leased_commit(Looked(LEASE, commit, now=19.9)) is None
