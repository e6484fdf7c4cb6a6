"""Defects of elections, of the promise (S7) and of reads."""

from tests.mutants.mutant import Mutant

ELECTION = "core/election.py"
OFFICE = "core/office.py"
PROMISE = "core/promise.py"
ROUNDS = "core/rounds.py"
READS = "core/reads.py"
ACCEPTOR = "core/acceptor.py"
ELECTED = "tests/unit/core/test_election.py"

MUTANTS = (
    Mutant(
        "votes are forgotten",
        "the vote is durable with its term (trap 1)",
        ACCEPTOR,
        "        self._log.set_term(term, vote)",
        "        self._log.set_term(term, 0)",
    ),
    Mutant(
        "a second vote in a term",
        "no vote for another candidate in the same term (traps 2, 3)",
        ACCEPTOR,
        "log.vote in (0, message.candidate))",
        "True)",
    ),
    Mutant(
        "a vote in an old term",
        "a vote needs T >= term (trap 2)",
        ACCEPTOR,
        "        granted = free and message.last.up_to_date_as(log.last)\n        if granted and",
        "        granted = (free or message.term < log.term) and message.last.up_to_date_as(log.last)\n"
        "        if granted and message.term >= log.term and",
    ),
    Mutant(
        "votes for whoever lacks entries",
        "the candidate's log is at least as up to date ([R] 5.4.1, trap 17)",
        ACCEPTOR,
        "granted = free and message.last.up_to_date_as(log.last)",
        "granted = free",
    ),
    Mutant(
        "the longer log wins",
        "up to date is the last term first, then the index ([R] 5.4.1)",
        "protocol/entries.py",
        "return (self.term, self.index) >= (other.term, other.index)",
        "return self.index >= other.index",
    ),
    Mutant(
        "a Campaign in the current term",
        "a Campaign needs T > term",
        ACCEPTOR,
        "granted = message.term > self._log.term and self",
        "granted = message.term >= self._log.term and self",
    ),
    Mutant(
        "half is a majority",
        "two majorities have a member in common (trap 2)",
        "core/quorum.py",
        "self.size = len(self.voters) // 2 + 1",
        "self.size = (len(self.voters) + 1) // 2",
    ),
    Mutant(
        "no stickiness",
        "S7: no grant within the minimum time-out of having heard a leader (traps 8, 39)",
        PROMISE,
        "        return now >= self._quiet_until",
        "        return True",
    ),
    Mutant(
        "no quiet after a start",
        "S7: no grant within the minimum time-out of the own start",
        PROMISE,
        "self._quiet_until = started + election_timeout_min",
        "self._quiet_until = started",
    ),
    Mutant(
        "a heartbeat is no promise",
        "S7: who acknowledged a leader grants nothing for a while",
        ELECTION,
        "        effects = self._follow(leader, message.term, now)\n        self._promise.heard(now)",
        "        effects = self._follow(leader, message.term, now)",
    ),
    Mutant(
        "campaigns although it heard a leader",
        "S7: the quiet holds for the own Campaign too",
        ELECTION,
        '        if not self._promise.may_grant(now, ballot.transfer):\n            return [Ignored("no campaign',
        '        if False:\n            return [Ignored("no campaign',
        covered_by="a leader that is heard closes the ballot (_follow), and no time-out is shorter than the quiet",
    ),
    Mutant(
        "a leader does not hear itself",
        "S7: a leader counts as hearing itself",
        OFFICE,
        "        self._promise.heard(now)  # a leader counts as hearing itself (S7)\n",
        "",
    ),
    Mutant(
        "a leader grants while it leads",
        "S7: a leader grants only after it stepped down",
        ELECTION,
        "or not self._promise.may_grant(now, transfer) or self._office is not None:",
        "or not self._promise.may_grant(now, transfer):",
    ),
    Mutant(
        "neither quiet nor leading keeps a leader from granting",
        "S7: a leader counts as hearing itself, and grants only after it stepped down",
        ELECTION,
        "or not self._promise.may_grant(now, transfer) or self._office is not None:",
        "or (not self._promise.may_grant(now, transfer) and self._office is None):",
    ),
    Mutant(
        "a grant is no promise",
        "S7: from a grant for T on no heartbeat below T is acknowledged",
        ELECTION,
        "            self._promise.grant(message.term, candidate)\n",
        "            pass\n",
    ),
    Mutant(
        "a Campaign is no grant",
        "S7: a Campaign is a grant to ourselves",
        ELECTION,
        "        self._promise.grant(ballot.term, self.me)  # a Campaign is a grant to ourselves (S7)\n",
        "",
        covered_by="a leader that is heard closes the ballot (_follow), so nobody is elected by that Campaign",
    ),
    Mutant(
        "the promise ends with the answer",
        "S7: a promise holds until storage has refused the request",
        PROMISE,
        "self.learn(max(storage_term, term if granted else 0))",
        "return",
    ),
    Mutant(
        "one answer settles two requests",
        "S7: a request that came twice is with storage twice",
        PROMISE,
        "            self._grants.remove((term, candidate))",
        "            self._grants = [grant for grant in self._grants if grant != (term, candidate)]",
        test="tests/unit/core/test_promise.py",
    ),
    Mutant(
        "an old leader is acknowledged",
        "S7: a heartbeat below the term is answered with the term (trap 8)",
        ELECTION,
        "        if message.term < self.term:\n            return [Send(leader, Heartb",
        "        if False:\n            return [Send(leader, Heartb",
        covered_by="Promise.acknowledges holds the same line: the leader is then left without an answer",
    ),
    Mutant(
        "any leader is acknowledged",
        "S7: a heartbeat below the term is not acknowledged, whoever asks",
        PROMISE,
        "return term >= self.term and all(term >= granted for granted, _ in self._grants)",
        "return True",
    ),
    Mutant(
        "a vote counts for any ballot",
        "S7: a vote counts only for the ballot whose Campaign was answered",
        "core/ballot.py",
        "return (self.phase, self.term, self.number) == (phase, term, number)",
        "return True",
    ),
    Mutant(
        "votes are counted with the members of before the Campaign",
        "S7: votes are counted with the configuration that the Campaign's answer carried",
        ELECTION,
        "        ballot.enter(Phase.VOTE, message.last, message.configuration)\n",
        "        ballot.enter(Phase.VOTE, message.last, ballot.configuration)\n",
        test=f"{ELECTED}::test_a_ballot_counts_the_configuration_that_its_campaign_brought",
    ),
    Mutant(
        "votes count before the Campaign's answer",
        "S7: a vote counts only once storage has answered the Campaign",
        ELECTION,
        "        return [ToStorage(Campaign(ballot.term, ballot.number))]\n",
        "        ballot.enter(Phase.VOTE, ballot.last, ballot.configuration)\n"
        "        votes = [Send(voter, Vote(ballot.term, ballot.number, ballot.last))"
        " for voter in ballot.configuration.others(self.me)]\n"
        "        more = self._lead(ballot, now) if ballot.count(self.me) else votes\n"
        "        return [ToStorage(Campaign(ballot.term, ballot.number)), *more]\n",
    ),
    Mutant(
        "a refused Campaign is a vote",
        "S7: only a granted Campaign opens the vote",
        ELECTION,
        "        if not message.granted:\n            return self._follow(0, self.term, now)\n"
        "        self._belonging.configuration",
        "        self._belonging.configuration",
        covered_by="storage answers in order: the vote that it gave to another closes the ballot before; and who meets"
        " a higher term by the refusal does not lead below it",
    ),
    Mutant(
        "refusals are votes",
        "a refused vote is none (trap 2)",
        ELECTION,
        '        if not message.granted:\n            return [Ignored(f"refused by',
        '        if False:\n            return [Ignored(f"refused by',
    ),
    Mutant(
        "leads below a newer vote",
        "S7: one ballot at a time; a vote for a later term ends it",
        ELECTION,
        "        if not self._promise.acknowledges(ballot.term):\n            return self._follow(0, self.term, now)\n",
        "",
    ),
    Mutant(
        "who has led hears itself for ever",
        "an ex-leader grants, and is granted, as anybody else (trap 7)",
        ELECTION,
        "            self._office = None\n",
        "            self._office = None\n            self._promise.heard(1e9)\n",
        test=f"{ELECTED}::test_an_ex_leader_grants_and_is_granted_again",
    ),
    Mutant(
        "leads on when storage moved on",
        "never lead below the term of the own storage",
        ELECTION,
        "if self._office is not None and self._office.term < self.term:",
        "if False:",
        covered_by="whatever raises the known term (a vote, a heartbeat, a refusal) ends the leadership by itself",
    ),
    Mutant(
        "a ballot goes above the own term only",
        "the next ballot goes above every term that was met (trap 4)",
        ELECTION,
        "ballot.term = max(self._seen_term, message.term) + 1",
        "ballot.term = message.term + 1",
    ),
    Mutant(
        "no check-quorum",
        "a leader that no majority answers steps down ([D] 6.2)",
        ELECTION,
        "if now - office.rounds.confirmed_sent > self._timing.election_max:",
        "if False:",
    ),
    Mutant(
        "a stuck storage goes on leading",
        "a leader must be able to work",
        ELECTION,
        "        for name in self._pulse.stalled(now) if office",
        "        for name in () if office",
    ),
    Mutant(
        "who is silent gets its time anew with the office",
        "a leader must be able to work: who did not answer before does not answer now",
        "core/vitality.py",
        "        self._progressed = now\n        self._done = -1\n",
        "        self._progressed = self._answered = now\n        self._done = -1\n",
        test="tests/unit/core/test_vitality.py",
    ),
    Mutant(
        "a leader without a gateway goes on leading",
        "a leader must be able to work: all writes go through its gateway",
        "core/vitality.py",
        "        self._vitality[GATEWAY] = Vitality(now, max(GATEWAY_PATIENCE * limit, GATEWAY_SECONDS_MIN))\n",
        "        self._vitality[GATEWAY] = Vitality(now, 1e9)\n",
    ),
    Mutant(
        "who has no room to apply is taken for one that hangs",
        "with a majority of such nodes nobody could lead, and reads would stop",
        ELECTION,
        "        if self._pulse.silent(STORAGE, now):",
        "        if STORAGE in self._pulse.stalled(now):",
        test="tests/unit/core/test_leading.py",
    ),
    Mutant(
        "who can't serve never leads",
        "where nobody else leads, who has all entries hands them on, and the office",
        "core/vitality.py",
        "        if not stalled or dead or leaderless < self._resort:\n",
        "        if True:\n",
        test="tests/unit/core/test_leading.py",
    ),
    Mutant(
        "ballots that are too short for the disks",
        "a ballot in a row with others that failed waits longer, or slow disks leave no leader",
        "core/ballot.py",
        "            self._failed += 1\n",
        "            pass\n",
        test="tests/unit/core/test_ballot.py",
    ),
    Mutant(
        "a stuck leader is elected again",
        "a leader must be able to work: who could not leaves the next ballot to the others",
        ELECTION,
        "        self._timeout += self._timing.election_max ",
        "        pass ",
        test="tests/unit/core/test_leading.py",
    ),
    Mutant(
        "a higher term is not met",
        "who meets a higher term steps down ([R] 5.1)",
        ELECTION,
        "        if self._office is None or term <= self._office.term:\n"
        '            return [Ignored(f"term {term} is met',
        '        if True:\n            return [Ignored(f"term {term} is met',
    ),
    Mutant(
        "a round under way confirms a read",
        "a read waits for a round that is sent from its arrival on (traps 41, 65)",
        ROUNDS,
        "self._waiting.append((self.number + 1, gateway, request))",
        "self._waiting.append((self.number, gateway, request))",
    ),
    Mutant(
        "a read is confirmed unasked",
        "a round is confirmed by a majority (trap 41)",
        ROUNDS,
        "reached = self._quorum.reached_by(self._answered, 0)",
        "reached = self.number",
    ),
    Mutant(
        "a read of an older commit index",
        "the read index is of the round's term (trap 40)",
        READS,
        "if commit is None or commit.term != message.term:",
        "if commit is None:",
    ),
    Mutant(
        "a read takes an older commit index later",
        "the read index is of the round's term (trap 40)",
        READS,
        "elif group.term and commit is not None and commit.term == group.term:",
        "elif group.term and commit is not None:",
    ),
    Mutant(
        "a deposed leader confirms reads",
        "rounds that are dropped confirm nothing (trap 65)",
        OFFICE,
        "RoundAnswer(request, 0)) for gateway, request in self.rounds.drop()]",
        "RoundAnswer(request, self.term)) for gateway, request in self.rounds.drop()]",
    ),
    Mutant(
        "anybody answers for the leader",
        "a read index comes from the member that was asked for it",
        READS,
        "        if group is None or group.leader != sender:\n            return []\n",
        "        if group is None:\n            return []\n",
        test="tests/unit/core/test_answers_by_whom.py",
    ),
    Mutant(
        "an old answer to another question",
        "a read index answers the question that was asked after the read came",
        READS,
        "        group = self._asked.get(message.request)\n        if group is None or group.leader != sender:\n"
        "            return []\n        if message.code:",
        "        group = next(iter(self._asked.values()), None)\n        if group is None:\n            return []\n"
        "        message = ReadIndexAnswer(next(iter(self._asked)), *[getattr(message, name) for name in"
        " message.__struct_fields__[1:]])\n        if message.code:",
    ),
)
