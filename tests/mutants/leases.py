"""Defects of the leader's lease and of the reads under it (S12), and of what S7 says about it."""

from tests.mutants.mutant import Mutant

ELECTION = "core/election.py"
OFFICE = "core/office.py"
LEASE = "core/lease.py"
HINTS = "actors/hints.py"
LOOKS = "tests/unit/core/test_lease.py::test_the_clock_is_looked_at_last"
HINTS_LOOKS = "tests/unit/actors/test_hints.py"
FROZEN = "tests/cluster/test_lease_reads.py"

MUTANTS = (
    Mutant(
        "a lease counts from the answers",
        "S12: a lease lasts from the sending of a round that a majority answered",
        OFFICE,
        "self._lease.extend(rounds.term, rounds.confirmed_sent)",
        "self._lease.extend(rounds.term, now)",
    ),
    Mutant(
        "clocks are equal",
        "S12: a lease is shorter than the promise by what clocks may drift (trap 42)",
        LEASE,
        "return election_timeout_min * (1 - CLOCK_DRIFT_MAX) / (1 + CLOCK_DRIFT_MAX)",
        "return election_timeout_min",
    ),
    Mutant(
        "a lease without an answer",
        "S12: a majority answered the round",
        OFFICE,
        "return beats + self._confirm(now)",
        "return [*beats, *self._lease.extend(self.term, now), *self._confirm(now)]",
    ),
    Mutant(
        "an election is a lease",
        "S7: who voted has promised nothing to whom it elected",
        OFFICE,
        "        if rounds.confirmed > before:\n",
        "        if True:\n",
        test="tests/unit/core/test_leading.py::test_an_election_is_no_lease",
    ),
    Mutant(
        "a lease outlives its leader",
        "S7: a leader grants only after it cleared its lease from the page",
        LEASE,
        "return [PublishLease(None)] if published else []",
        "return []",
    ),
    Mutant(
        "a lease that is cleared too late",
        "S7: the lease is cleared before the leader steps down",
        ELECTION,
        'return [*cleared, self._publish(why or ("follows" if leader else "votes or waits")), *stopped]',
        'return [self._publish(why or ("follows" if leader else "votes or waits")), *stopped, *cleared]',
        test="tests/unit/core/test_leading.py::test_the_lease_is_cleared_before_the_leader_steps_down",
    ),
    Mutant(
        "a lease for ever",
        "S12: a read under a lease looks at the clock (trap 41)",
        LEASE,
        "return commit if published.now() < lease.end else None",
        "return commit",
    ),
    Mutant(
        "a lease for ever, on real processes",
        "S12: a read under a lease looks at the clock (trap 65)",
        LEASE,
        "return commit if published.now() < lease.end else None",
        "return commit or published.now()",
        test=FROZEN,
    ),
    Mutant(
        "a read of a state that lags",
        "S12: the read's view has applied the commit index that was loaded",
        "actors/state_reads.py",
        "    if view.applied.index < index:\n",
        "    if False:\n",
        test="tests/unit/actors/test_gateway.py::test_a_read_waits_until_its_index_is_applied",
    ),
    Mutant(
        "a lease before the first commit",
        "S12: the commit index is of the lease's term (trap 40)",
        LEASE,
        "if commit is None or commit.term != lease.term:",
        "if commit is None:",
    ),
    Mutant(
        "the clock before the page",
        "S12: the clock is looked at last",
        LEASE,
        "    lease = published.lease()\n",
        "    now = published.now()\n    published.now = lambda: now\n    lease = published.lease()\n",
        test=LOOKS,
    ),
    Mutant(
        "a time from before the read",
        "S12: no cached clock",
        HINTS,
        "        return clock()\n",
        "        return 0.0\n",
        test=HINTS_LOOKS,
    ),
    Mutant(
        "a commit index from before the read",
        "S12, S10: the commit index is loaded after the read arrived",
        HINTS,
        "        return self._load(Group.COMMIT, codec.commit_group)",
        "        known = self._cached[Group.COMMIT].value\n"
        "        return known if known else self._load(Group.COMMIT, codec.commit_group)",
        test=HINTS_LOOKS,
    ),
    Mutant(
        "a page that counts as read before it is",
        "S10, S12: what is published while the page is loaded is found by the next load",
        HINTS,
        "            cached.sequence = sequence\n            data = self._page.load(group)\n",
        "            data = self._page.load(group)\n            cached.sequence = self._page.sequence(group)\n",
        test=HINTS_LOOKS,
    ),
    Mutant(
        "leases although reads go by quorum",
        "S12: with --read-mode quorum there are none",
        "actors/election.py",
        " if settings.read_mode == LEASE else 0.0,",
        ",",
        test=f"{FROZEN}::test_by_quorum_no_read_is_served_without_its_election",
    ),
)
