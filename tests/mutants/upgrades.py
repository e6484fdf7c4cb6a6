"""Defects of upgrades: when the cluster version rises, what it switches, and what code that is older must not get."""

from tests.mutants.mutant import Mutant

VERSIONS = "core/versions.py"
KEYSPACE = "core/keyspace.py"
LEADERSHIP = "core/leadership.py"
RULES = "tests/unit/core/test_versions.py"

MUTANTS = (
    Mutant(
        "raised while a learner has not announced it",
        "the cluster version is raised when every member, learners too, has announced the new one",
        LEADERSHIP,
        "        members = {member.id for member in self.membership.configuration.members} | {self._me}\n",
        "        members = {*self.membership.configuration.voters(), self._me}\n",
        test=RULES,
    ),
    Mutant(
        "raised before the term's first commit",
        "until an entry of the term is committed nobody can tell at which version the cluster is",
        LEADERSHIP,
        "        if version and self.commit > self.before and members <= self.healthy(now):\n",
        "        if version and members <= self.healthy(now):\n",
        test=RULES,
    ),
    Mutant(
        "raised while one is away",
        "who is away may come back with older code",
        LEADERSHIP,
        "        if version and self.commit > self.before and members <= self.healthy(now):\n",
        "        if version and self.commit > self.before:\n",
        test=RULES,
    ),
    Mutant(
        "an announcement lasts for ever",
        "the newest word of a member counts: it may have come back with older code",
        VERSIONS,
        "        self._announced[member] = version\n",
        "        self._announced[member] = max(version, self._announced.get(member, FIRST))\n",
        test=RULES,
    ),
    Mutant(
        "a refusal announces nothing",
        "a member that has nothing to agree to announces its version as well",
        LEADERSHIP,
        "        self.versions.announced(member, answer.version)\n",
        "        if answer.success:\n            self.versions.announced(member, answer.version)\n",
        test=RULES,
    ),
    Mutant(
        "a lowered version",
        "the cluster version is never lowered",
        KEYSPACE,
        "        if version > self.version:\n",
        "        if version != self.version:\n",
        test=RULES,
    ),
    Mutant(
        "applied by the code's version",
        "apply is switched by the cluster version in the state, not by the code's",
        KEYSPACE,
        "        if self.version < CHECKPOINTS_OF_ALL:\n",
        "        if self._supported < CHECKPOINTS_OF_ALL:\n",
    ),
    Mutant(
        "an unknown version is passed over",
        "an unknown version is never applied: the node stops, and keeps its data",
        VERSIONS,
        "    if version is None or version > supported:\n",
        "    if version is None:\n",
        test=RULES,
    ),
    Mutant(
        "an unknown kind is passed over",
        "an entry of an unknown kind is never passed over",
        VERSIONS,
        "    if entry.kind not in _KINDS:\n",
        "    if False:\n",
        test=RULES,
    ),
    Mutant(
        "a leader takes what it does not know",
        "the leader refuses what newer code proposes",
        "core/replication.py",
        "        if message.kind not in PROPOSED_KINDS:\n",
        "        if False:\n",
        test=RULES,
    ),
    Mutant(
        "older code gets the entry",
        "an entry that raises the version goes to nobody who does not know that version",
        VERSIONS,
        "            if needed > announced:\n",
        "            if False:\n",
        test=RULES,
    ),
    Mutant(
        "older code gets the snapshot",
        "a snapshot of a raised state goes to nobody who does not know that version",
        VERSIONS,
        "        return self._leave(member, announced, self._raised) if announced < self._raised else None\n",
        "        return None\n",
        test=RULES,
    ),
    Mutant(
        "the log's format stays",
        "code that does not know an entry refuses the log that holds it",
        "store/log.py",
        "            if (needed := format_needed(entries)) > self._format:\n",
        "            if (needed := format_needed(entries)) > 1 << 30:\n",
        test="tests/unit/store/test_log.py",
    ),
    Mutant(
        "the state's format stays",
        "code that does not know the version refuses a state, or a snapshot, that has applied it",
        KEYSPACE,
        "            self._tables.set_meta(FORMAT, bytes([storage_format(version)]))\n",
        "",
        test=RULES,
    ),
)
