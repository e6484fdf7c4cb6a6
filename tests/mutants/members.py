"""Defects of membership at run time (S14, [D] 4.1 to 4.2): when a change may come, and who counts from then on."""

from tests.mutants.mutant import Mutant

ACCEPTOR = "core/acceptor.py"
ELECTION = "core/election.py"
OFFICE = "core/office.py"
MEMBERSHIP = "core/membership.py"
LEADERSHIP = "core/leadership.py"
REPLICATION = "core/replication.py"
CHANGES = "tests/unit/core/test_membership.py"
LEADING = "tests/unit/core/test_leading_members.py"
STORED = "tests/unit/core/test_configurations.py"

MUTANTS = (
    Mutant(
        "members change before the term's first commit",
        "S14 (a): an entry of the leader's term is committed before it appends a configuration (trap 31)",
        MEMBERSHIP,
        "        if commit <= self._before:\n",
        "        if False:\n",
        # Only the first change of all shows it: once a configuration is an entry, S14 (b) asks for more.
    ),
    Mutant(
        "a change upon a change",
        "S14 (b): the configuration before is committed (trap 32)",
        MEMBERSHIP,
        "        if self.configuration.index > commit:\n",
        "        if False:\n",
    ),
    Mutant(
        "a change that the rounds do not count",
        "S14 (c): rounds and leases count the configuration before",
        MEMBERSHIP,
        "        if self.configuration.index != self._counted:\n",
        "        if False:\n",
    ),
    Mutant(
        "counted at once",
        "S14 (c): a lease rests on the new configuration only when a later round was confirmed by it",
        OFFICE,
        "        if not index or self.rounds.confirmed < number:\n",
        "        if not index:\n",
        test=LEADING,
    ),
    Mutant(
        "rounds count the old members",
        "S14 (c): rounds and leases count the configuration that was appended",
        OFFICE,
        "        self.rounds.count(Quorum(configuration.voters()))\n",
        "",
    ),
    Mutant(
        "commits count the old members",
        "S14: a configuration is in force from the moment on in which it is appended",
        LEADERSHIP,
        "        self.quorum = Quorum(configuration.voters())\n",
        "",
    ),
    Mutant(
        "a configuration counts when it is committed",
        "S14: a configuration is in force from the moment on in which it is appended (trap 32)",
        ACCEPTOR,
        "            return configurations[-1]\n",
        "            return next((c for c in reversed(configurations) if c.index <= self.commit), configurations[0])\n",
    ),
    Mutant(
        "a truncated configuration stays in force",
        "S14: a configuration reverts when its entry is truncated",
        ACCEPTOR,
        "        kept = [one for one in known if one.index < first]\n",
        "        kept = [*known]\n",
    ),
    Mutant(
        "a snapshot has no members",
        "a snapshot brings the configuration in force at its end (trap 37: else who was removed would return)",
        ACCEPTOR,
        "        self._log.keep_configurations((configuration, *kept) if configuration else tuple(kept))\n",
        "        self._log.keep_configurations(tuple(kept))\n",
        test=STORED,
    ),
    Mutant(
        "a snapshot has the members of before",
        "what is applied of a change of members is in each snapshot from then on (trap 37)",
        "core/keyspace.py",
        "            self._tables.set_meta(CONFIGURATION, pack_configuration(configuration))\n",
        "            pass\n",
    ),
    Mutant(
        "another version does not find who votes",
        "a member's fields stay where they are: an upgrade loses nobody's vote, nor gives one (trap 37)",
        "protocol/entries.py",
        '    voter: bool = True\n    address: str = ""\n',
        '    address: str = ""\n    voter: bool = True\n',
        test="tests/wire/test_golden.py",
    ),
    Mutant(
        "a restart forgets the members",
        "an uncommitted configuration outlives a restart (trap 33)",
        "store/log_contents.py",
        "codec.configurations.decode(configurations) if configurations else ()",
        "()",
        test="tests/unit/store/test_log.py",
    ),
    Mutant(
        "a leader that is no voter counts itself",
        "a leader that is not in the configuration does not count itself (trap 34)",
        LEADERSHIP,
        "        self.quorum = Quorum(configuration.voters())\n",
        "        self.quorum = Quorum(configuration.voters() | {self._me})\n",
    ),
    Mutant(
        "a removed leader stays",
        "a removed leader steps down when the configuration is committed ([D] 4.2.2, trap 35)",
        LEADERSHIP,
        "        return self._me in self.leaving and self.membership.configuration.index <= self.commit\n",
        "        return False\n",
    ),
    Mutant(
        "a removed leader leaves at once",
        "a removed leader goes on until the configuration is committed ([D] 4.2.2, trap 35)",
        LEADERSHIP,
        "        return self._me in self.leaving and self.membership.configuration.index <= self.commit\n",
        "        return self._me in self.leaving\n",
        test=LEADING,
    ),
    Mutant(
        "who has left campaigns",
        "a node campaigns only if it votes in the newest committed configuration, or a later one (traps 11, 39)",
        ACCEPTOR,
        "        return any(log.member in one.voters() for one in known if one.index >= committed)\n",
        "        return any(log.member in one.voters() for one in known)\n",
        test=STORED,
    ),
    Mutant(
        "who is still needed does not campaign",
        "who is not in its latest configuration may be needed until that is committed ([D] 4.2.2)",
        ACCEPTOR,
        "        return any(log.member in one.voters() for one in known if one.index >= committed)\n",
        "        return log.member in self.configuration().voters()\n",
    ),
    Mutant(
        "the quorum is given away",
        "a change that would lose the quorum of healthy voters is refused (trap 38)",
        MEMBERSHIP,
        " and not change.force and not Quorum(voters).reached(healthy):\n",
        " and False:\n",
        test=CHANGES,
    ),
    Mutant(
        "an id is used again",
        "a name that is known with another id is refused (trap 36)",
        MEMBERSHIP,
        "    if known is not None and change.member not in (0, known.id):\n",
        "    if False:\n",
        test=CHANGES,
    ),
    Mutant(
        "a learner is promoted unripe",
        "a learner is promoted when it has caught up and stayed healthy",
        MEMBERSHIP,
        "            patient = now - self._ready_since.setdefault(learner.id, now) >= READY_SECONDS\n",
        "            patient = True\n",
        test=CHANGES,
    ),
    Mutant(
        "a leader takes members from its log",
        "S14: while leading T, election takes configurations only from messages of T",
        "core/belonging.py",
        "[] if leads else self.catch_up()",
        "self.catch_up()",
        test=LEADING,
    ),
    Mutant(
        "nobody is told that a change is committed",
        "election hears of each change of what is in force, and when it is committed: then who was removed says so",
        "core/belonging.py",
        "        return configuration, configuration.index <= self._acceptor.commit\n",
        "        return configuration, configuration.index <= configuration.index\n",
        test="tests/unit/core/test_belonging.py",
    ),
    Mutant(
        "who has led knows nothing of its removal",
        "who does not vote any more is no candidate, and says that it was removed (trap 39)",
        ELECTION,
        "            stopped += self._belonging.catch_up()\n",
        "",
        test=LEADING,
    ),
    Mutant(
        "a second copy is refused when the term is over",
        "an origin seen in a term is dropped, also when the term is led no more (S9)",
        REPLICATION,
        "        if self.seen.is_copy(message.term, message.origin):\n",
        "        if lead is not None and self.seen.is_copy(message.term, message.origin):\n",
        test=LEADING,
    ),
    Mutant(
        "a wrong address of a voter stops the cluster",
        "no change leaves the cluster without a majority that answers, but by --force",
        MEMBERSHIP,
        "        if moved and len(voters) > 1 and ",
        "        if not moved and ",
        test=CHANGES,
    ),
)
