"""Defects of leadership transfer (S8), and of what S7 says about it."""

from tests.mutants.mutant import Mutant

ELECTION = "core/election.py"
PROMISE = "core/promise.py"
LEASE = "core/lease.py"
TRANSFER = "core/transfer.py"
REPLICATION = "core/replication.py"
TESTS = "tests/unit/core/test_transfer.py"

MUTANTS = (
    Mutant(
        "a lease outlives its surrender",
        "S8: before TimeoutNow leaves, the lease is cleared",
        LEASE,
        "        return self.clear()\n",
        "        return []\n",
    ),
    Mutant(
        "a surrendered lease comes back",
        "S8: the lease is never published again in the term",
        LEASE,
        "if not self._seconds or self.is_surrendered(term):",
        "if not self._seconds:",
    ),
    Mutant(
        "TimeoutNow before the lease is cleared",
        "S8: the lease is cleared before TimeoutNow leaves",
        ELECTION,
        "return [*self._lease.surrender(message.term), Send(message.target, TimeoutNow(message.term))]",
        "return [Send(message.target, TimeoutNow(message.term)), *self._lease.surrender(message.term)]",
    ),
    Mutant(
        "every ballot is a transfer's",
        "S8: a retry is an ordinary ballot",
        ELECTION,
        "Vote(ballot.term, ballot.number, ballot.last, ballot.transfer)",
        "Vote(ballot.term, ballot.number, ballot.last, True)",
    ),
    Mutant(
        "every vote by-passes stickiness",
        "S8: only that ballot's requests by-pass stickiness (traps 8, 39)",
        ELECTION,
        "transfer = isinstance(message, Vote) and message.transfer",
        "transfer = isinstance(message, Vote)",
        test=TESTS,
    ),
    Mutant(
        "a transfer by-passes the own start too",
        "S7: no grant within the minimum time-out of the own start, Campaign and TimeoutNow included",
        PROMISE,
        "return now >= self._start_over",
        "return True",
        test=TESTS,
    ),
    Mutant(
        "anybody is told to campaign",
        "S8: only the leader that is followed, in the term that storage holds, is obeyed",
        ELECTION,
        "follows = (leader, message.term) == (self.leader, self.term) and self._promise.acknowledges(message.term)",
        "follows = self._rounds is None",
        test=TESTS,
    ),
    Mutant(
        "two campaigns for one TimeoutNow",
        "S8: TimeoutNow causes exactly one Campaign",
        TRANSFER,
        "        is_new = term > self._taken_over\n",
        "        is_new = True\n",
        test=TESTS,
    ),
    Mutant(
        "a leader votes with its lease valid",
        "S8: a leader steps down for a transfer only once it has surrendered its lease",
        ELECTION,
        "and self._lease.is_surrendered(self._office.term):",
        "and message.term > self._office.term:",
        test=TESTS,
    ),
    Mutant(
        "a leader votes without stepping down",
        "S8, S7: who asked for the ballot leads no more when it votes",
        ELECTION,
        '            effects = self._meet(message.term, now, "hands over")'
        "  # who asked for this ballot leads no more (S8)\n",
        "            self._promise.grant(message.term, candidate)\n"
        "            return [ToStorage(VoteQuery(message.term, candidate, message.ballot, message.last, durable))]\n",
        test=TESTS,
    ),
    Mutant(
        "proposals are taken during a hand-over",
        "the last index stands still until somebody took over (trap 10)",
        REPLICATION,
        "        if lead.hand_over is not None:\n            return [_refuse",
        "        if False:\n            return [_refuse",
        test=TESTS,
    ),
    Mutant(
        "proposals are refused for ever",
        "a hand-over that nobody takes ends, and the leader works on ([D] 3.10)",
        TRANSFER,
        "[ToReplication(Resume(order.term))] if leads else []",
        "[]",
        test=TESTS,
    ),
    Mutant(
        "whoever is behind takes over",
        "a target has every entry of the leader ([D] 3.10)",
        "core/leadership.py",
        "matching = [one for one in fed if self.progress[one].match == self.tail.last]",
        "matching = fed",
        test=TESTS,
    ),
)
