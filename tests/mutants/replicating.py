"""Defects of the log, and of replication (S2 to S6, S9)."""

from tests.mutants.mutant import Mutant

ACCEPTOR = "core/acceptor.py"
REPLICATION = "core/replication.py"
PROGRESS = "core/progress.py"
PROPOSALS = "core/proposals.py"

MUTANTS = (
    Mutant(
        "the log's end is answered",
        "S2: an Append is answered with previous index + number of entries",
        ACCEPTOR,
        "        match = message.previous.index + len(message.entries)\n",
        "        match = log.last.index\n",
    ),
    Mutant(
        "appends without a match",
        "an Append succeeds only if prev matches (trap 16)",
        ACCEPTOR,
        "        if here != message.previous.term:\n",
        "        if here is None:\n",
    ),
    Mutant(
        "an old leader appends",
        "an Append needs T >= term",
        ACCEPTOR,
        "        if message.term < log.term:\n"
        "            return Answer(self._refused(message.previous.index, NOTHING))\n",
        "",
    ),
    Mutant(
        "an Append raises no term",
        "an Append of a newer term is followed durably",
        ACCEPTOR,
        "        if term > log.term:\n            self._enter(term, vote=0)\n",
        "",
    ),
    Mutant(
        "a delayed Append truncates",
        "the log is truncated on conflict only (trap 15)",
        ACCEPTOR,
        "            if here == entry_term(data):\n                continue  #",
        "            if here is None:\n                continue  #",
    ),
    Mutant(
        "a term that rises takes what is not committed with it",
        "only entries that conflict are truncated, whatever becomes of the term (trap 17)",
        ACCEPTOR,
        "            self.leader = 0\n        self._log.set_term(term, vote)\n",
        "            self.leader = 0\n            if self.commit < self._log.last.index:\n"
        "                self._log.truncate(self.commit + 1)\n        self._log.set_term(term, vote)\n",
    ),
    Mutant(
        "every Append cuts the log behind it",
        "the log is truncated on conflict only (trap 15)",
        ACCEPTOR,
        "        self._take(message)\n",
        "        self._take(message)\n"
        "        if log.last.index > message.previous.index + len(message.entries) >= self.commit:\n"
        "            log.truncate(message.previous.index + len(message.entries) + 1)\n"
        "            self._verified = min(self._verified, log.last.index)\n",
    ),
    Mutant(
        "damaged entries are stored",
        "an entry is checked when it arrives (trap 29)",
        ACCEPTOR,
        "            if not entry_is_sound(index, data) or entry_term(data) > message.term:\n",
        "            if entry_term(data) > message.term:\n",
        test="tests/unit/core/test_acceptor.py",
    ),
    Mutant(
        "commit trusts the whole log",
        "S3: a commit index is followed only as far as the log was verified (trap 16)",
        ACCEPTOR,
        "min(index, self._verified))  # never back",
        "min(index, self._log.last.index))  # never back",
    ),
    Mutant(
        "what was verified outlives its term",
        "S3: what was verified is forgotten when the term rises (traps 14, 18)",
        ACCEPTOR,
        "            self._verified = 0  # S3",
        "            pass  # S3",
    ),
    Mutant(
        "a Commit of another term",
        "S3: a Commit is of the current term",
        ACCEPTOR,
        '        if message.term != self._log.term:\n            return Ignored(f"commit of',
        '        if False:\n            return Ignored(f"commit of',
        # Not the simulator's: a leader sends it only to who has answered an Append of its term, and what an older
        # leader says is committed stands in the newer one's log as well.
        test="tests/unit/core/test_acceptor.py",
    ),
    Mutant(
        "the commit index goes back",
        "commit is monotonic (trap 13)",
        ACCEPTOR,
        "        self.commit = max(self.commit, min(index, self._verified))",
        "        self.commit = min(index, self._verified)",
    ),
    Mutant(
        "a deposed leader reads its log",
        "S4: entries are read in the leader's own term only",
        ACCEPTOR,
        "        if message.term != log.term or previous_term is None:\n"
        "            return Answer(ReadAnswer(log.term, message.peer, NOTHING, (), self._offer_for(message)))\n"
        "        entries = tuple(log.entries(message.first, message.bytes_max))\n"
        "        return Answer(ReadAnswer(log.term, message",
        "        if previous_term is None:\n"
        "            return Answer(ReadAnswer(log.term, message.peer, NOTHING, (), self._offer_for(message)))\n"
        "        entries = tuple(log.entries(message.first, message.bytes_max))\n"
        "        return Answer(ReadAnswer(message.term, message",
    ),
    Mutant(
        "what a deposed leader read is sent",
        "S4: entries that were read in another term are not sent",
        REPLICATION,
        "        if message.term < lead.term or message.previous.index != progress.next - 1:",
        "        if message.previous.index != progress.next - 1:",
        covered_by="the own storage answers in order, long before the next leadership of this node begins",
    ),
    Mutant(
        "an older term's entry is counted",
        "S5: only entries of the leader's own term are counted ([R] figure 8, trap 12)",
        REPLICATION,
        "        if reached <= lead.commit or reached <= lead.before:\n            return []\n",
        "        if reached <= lead.commit:\n            return []\n",
    ),
    Mutant(
        "no empty entry at first",
        "S5: a leader appends an empty entry of its term at once",
        REPLICATION,
        "        self._lead.append(EntryKind.EMPTY)\n",
        "",
    ),
    Mutant(
        "the leader counts itself at once",
        "S6: the leader's own copy counts when its storage has answered (trap 20)",
        REPLICATION,
        "{member: p.match for member, p in lead.progress.items()}, 0)",
        "{member: lead.tail.last if member == self.me else p.match for member, p in lead.progress.items()}, 0)",
    ),
    Mutant(
        "sent is stored",
        "S6: a copy counts when its storage has answered",
        REPLICATION,
        "{member: p.match for member, p in lead.progress.items()}, 0)",
        "{member: p.next - 1 if p.match else 0 for member, p in lead.progress.items()}, 0)",
    ),
    Mutant(
        "answers of an older term count",
        "an answer of another term says nothing of this log (traps 14, 18)",
        REPLICATION,
        '        if message.term < lead.term:\n            return [Ignored(f"answer of term {message.term}")]\n'
        "        if isinstance",
        "        if isinstance",
    ),
    Mutant(
        "a newer term does not end a leadership",
        "replication that meets a higher term reports it",
        REPLICATION,
        "        if message.term > lead.term:\n            return [ToElection(Deposed(message.term))]\n"
        '        if message.term < lead.term:\n            return [Ignored(f"answer of term {message.term}")]\n'
        "        if isinstance",
        '        if message.term != lead.term:\n            return [Ignored(f"answer of term {message.term}")]\n'
        "        if isinstance",
        covered_by="the control plane tells the same: the member that moved on refuses the next heartbeat",
    ),
    Mutant(
        "a stopped leader leads again",
        "a Lead that is older than a Stop is ignored",
        REPLICATION,
        "        if message.term <= max(self._stopped, self.term):\n",
        "        if message.term <= self.term:\n",
        covered_by="Lead and Stop come from one actor by one socket, in order; each term is led once",
    ),
    Mutant(
        "match goes back",
        "match never goes back within a term (trap 14)",
        PROGRESS,
        "        self.match = max(self.match, answer.match)\n",
        "        self.match = answer.match\n",
        test="tests/unit/core/test_progress.py",
    ),
    Mutant(
        "who lost what it acknowledged is not told of",
        "what a storage acknowledged and denies again and again is lost, and people hear of it",
        PROGRESS,
        "        if self._denials < DENIALS:\n",
        "        if self._denials < DENIALS or True:\n",
        test="tests/unit/core/test_progress.py",
    ),
    Mutant(
        "what was acknowledged is probed as fast as messages go",
        "a probe that was denied is repeated when the timer says so",
        PROGRESS,
        "        if answer.probe <= self.match:\n",
        "        if answer.probe < self.match:\n",
        test="tests/unit/core/test_progress.py",
    ),
    Mutant(
        "who is to be asked again is passed over",
        "who lacks something and is silent is asked again (trap 19)",
        PROGRESS,
        "        told = self._commit_told >= commit and not self.asking\n",
        "        told = self._commit_told >= commit\n",
    ),
    Mutant(
        "who was not told the commit index is passed over",
        "the news of a commit leaves by itself where no Append takes it along",
        PROGRESS,
        "        told = self._commit_told >= commit and not self.asking\n",
        "        told = not self.asking\n",
    ),
    Mutant(
        "a refusal skips entries",
        "next goes back at least to the probe, and as far as the conflict ([R] 5.3, trap 19)",
        PROGRESS,
        "self._probe(max(self.match + 1, min(answer.conflict.index, answer.probe)))",
        "self._probe(self.next)",
    ),
    Mutant(
        "nothing is sent again",
        "who lacks something and is silent is asked again (trap 19)",
        PROGRESS,
        "return now - self._quiet_since >= (READ_SECONDS if self.reading else IDLE_SECONDS if done else patience)",
        "return False",
    ),
    Mutant(
        "who lacks nothing is left alone",
        "a restart makes a storage forget the commit index (trap 19)",
        PROGRESS,
        "(READ_SECONDS if self.reading else IDLE_SECONDS if done else patience)",
        "(math.inf if done else patience)",
    ),
    Mutant(
        "a read that was lost is waited for",
        "retransmission asks again for entries of the own log, and for a snapshot that is still to come (trap 19)",
        PROGRESS,
        "        self._quiet_since = now\n        self.reading = self.cut_off = False\n",
        "        self._quiet_since = now\n",
        test="tests/unit/core/test_progress.py",
    ),
    Mutant(
        "what is read slowly is thrown away",
        "while the own storage reads what a peer lacks, the peer is not probed",
        PROGRESS,
        "(READ_SECONDS if self.reading else IDLE_SECONDS if done else patience)",
        "(IDLE_SECONDS if done else patience)",
        test="tests/unit/core/test_progress.py",
    ),
    Mutant(
        "a proposal in any term",
        "S9: a proposal is refused in any term but its own (trap 55)",
        REPLICATION,
        "        if lead is None or lead.term != message.term:\n",
        "        if lead is None:\n",
    ),
    Mutant(
        "a proposal twice in a term",
        "S9: an origin seen in this term is dropped (trap 55)",
        "core/seen.py",
        "        if origin.number <= numbers.get(origin.nonce, 0):\n",
        "        if False:\n",
    ),
    Mutant(
        "a copy of a refused proposal is made",
        "S9: an origin seen in this term is dropped, also when it was refused (trap 55)",
        REPLICATION,
        "        if lead.hand_over is not None:\n            return [_refuse(",
        "        if lead.hand_over is not None:\n            self.seen = Seen()\n            return [_refuse(",
        test="tests/unit/core/test_transfer.py",
    ),
    Mutant(
        "a copy of what the gateway refused goes on to replication",
        "S9: an origin seen in this term is dropped, also when it was refused (trap 55)",
        "core/forwarded.py",
        "        if self._seen.is_copy(message.term, message.origin):\n",
        "        if False:\n",
        test="tests/unit/core/test_forwarded.py",
    ),
    Mutant(
        "a proposal for a term that nobody knows is remembered",
        "nine of them, from anybody, and no proposal of the leader's own term would ever be taken again",
        "core/forwarded.py",
        "        if message.term > self._known:\n",
        "        if False:\n",
        test="tests/unit/core/test_forwarded.py",
    ),
    Mutant(
        "a proposal without an answer is made again",
        "S9: a proposal is sent at most once; what became of it is Unknown (trap 55)",
        PROPOSALS,
        "                if command is not None and command.deadline <= now:\n"
        "                    told.append(Tell(command.client, unknown))\n",
        "                if command is not None and command.deadline <= now:\n"
        "                    told.append(Tell(command.client, body))\n",
    ),
    Mutant(
        "a restart means not executed",
        "S9: after a restart of the trio the outcome is Unknown (trap 55)",
        PROPOSALS,
        'body = encode(ErrorResult(Unknown.code, "the node restarted its storage before the result came"))',
        'body = encode(ErrorResult(Unavailable.code, "the node restarted its storage before the result came"))',
    ),
    Mutant(
        "not executed in its own term",
        "what has no result was not executed once a *later* term was applied (trap 55)",
        PROPOSALS,
        "            if proposal.term < term:\n",
        "            if proposal.term <= term:\n",
    ),
    Mutant(
        "results of another start",
        "results are told to the start of the gateway that asked (trap 55)",
        PROPOSALS,
        "        return (origin.member, origin.gateway, origin.nonce) == self._origin\n",
        "        return True\n",
        test="tests/unit/core/test_proposals.py",
    ),
    Mutant(
        "anybody refuses a proposal",
        "S9: only the member that a proposal was sent to knows that it was not appended (trap 55)",
        PROPOSALS,
        "        if proposal is None or proposal.leader != sender:\n",
        "        if proposal is None:\n",
        test="tests/unit/core/test_answers_by_whom.py",
    ),
    Mutant(
        "a proposal in another member's name is made",
        "S9: results and refusals go to the member that proposed (trap 55)",
        "core/forwarded.py",
        "        if message.origin.member != sender:\n            return None\n",
        "",
        test="tests/unit/core/test_answers_by_whom.py",
    ),
    Mutant(
        "a lost proposal keeps others waiting",
        "a proposal without an answer holds its place for a second, not as long as its clients wait",
        PROPOSALS,
        "            elif now - proposal.sent >= SLOT_SECONDS:\n                self._free(proposal)\n",
        "",
        test="tests/unit/core/test_proposals.py",
    ),
    Mutant(
        "a node that is cut off keeps commands to their end",
        "a command is refused while its sender has time left, where no leader is known",
        PROPOSALS,
        "        if self._leaderless is None:\n            return",
        "        if True:\n            return",
        test="tests/unit/core/test_proposals.py",
    ),
    Mutant(
        "told before it is on the page",
        "S10: the commit index is on the page before anybody is told",
        REPLICATION,
        "        lead.trim(TAIL_BYTES_MAX)\n        return effects\n",
        "        lead.trim(TAIL_BYTES_MAX)\n        return effects[::-1]\n",
    ),
    Mutant(
        "clients get each other's results",
        "each command has its own result",
        PROPOSALS,
        "        told = zip(proposal.commands, results, strict=True)\n",
        "        told = zip(proposal.commands, reversed(results), strict=True)\n",
    ),
    Mutant(
        "what did not leave is waited for",
        "S9: what could not be sent certainly was not executed, and is proposed again",
        "actors/gateway.py",
        "        if not left:\n",
        "        if False:\n",
        test="tests/unit/actors/test_gateway.py::test_what_could_not_be_sent_is_proposed_again",
    ),
    Mutant(
        "what could not be passed on is not refused",
        "S9: a proposal that was passed on is proposed or refused once",
        "actors/gateway.py",
        "        if isinstance(made, Propose) and not self._trio.propose(made):\n",
        "        if isinstance(made, Propose) and self._trio.propose(made):\n",
        test="tests/unit/actors/test_gateway.py::test_what_another_gateway_sent_and_could_not_be_passed_on_is_refused",
    ),
    Mutant(
        "another gateway's refusal is kept",
        "S9: whoever sent a proposal hears of its refusal",
        "actors/gateway.py",
        "        if message.origin.member == self._me:\n",
        "        if True:\n",
        test="tests/unit/actors/test_gateway.py::test_what_replication_refuses_is_told_to_the_gateway_that_sent_it",
    ),
)
