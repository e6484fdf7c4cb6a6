"""Proposals against a model of all that can become of them, in any order."""

from dataclasses import dataclass, field

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from zraft.core.admission import Caller
from zraft.core.proposals import Proposals, Tell, Waiting
from zraft.errors import NotLeader, ResourceExhausted, Unknown
from zraft.protocol.codec import encode, response, unpack_commands
from zraft.protocol.entries import Origin
from zraft.protocol.local import RoleGroup
from zraft.protocol.requests import Put
from zraft.protocol.responses import ErrorResult

A, B = 1, 2
FAR = 1_000_000.0
positions = st.integers(0, 3)
rarely = st.sampled_from([False, False, False, True])


@dataclass
class Proposed:
    """A proposal that left the gateway. Invariant: its commands are executed at most once, by its one entry."""

    origin: Origin
    term: int
    names: list[bytes]


@dataclass
class Log:
    """What all nodes agree on: terms never go back, and only the newest applied term's proposals can be executed."""

    term: int = 0
    open: list[Proposed] = field(default_factory=list)
    executed: list[bytes] = field(default_factory=list)

    def can_execute(self, name: bytes) -> bool:
        return any(name in proposed.names and proposed.term >= self.term for proposed in self.open)


class ProposalsMachine(RuleBasedStateMachine):
    """S9. Every command is answered exactly once, and is executed at most once, whatever gets lost.

    ``log`` knows what can't be known at the gateway; ``registered`` is whether storage tells it results.
    """

    @initialize()
    def begin(self) -> None:
        self.proposals = Proposals(A, 0, 9)
        self.log = Log()
        self.elected = 1
        self.now = 0.0
        self.registered = True
        self.number = 0
        self.names: list[bytes] = []
        self.left: set[bytes] = set()
        self.answers: dict[bytes, str] = {}

    # --- what the gateway is asked to do

    @rule(wait=st.sampled_from([0.01, 1.0, 30.0]))
    def submit(self, wait: float) -> None:
        name = b"%d" % len(self.names)
        self.names.append(name)
        caller = Caller(b"client", name, 1)
        self.proposals.submit(Waiting(caller, encode(Put(name, b"")), True, self.now + wait))

    @rule(stale=rarely, leader=st.sampled_from([A, B]), fails=rarely)
    def flush(self, stale: bool, leader: int, fails: bool) -> None:
        """The page may name an older term; the shell may fail to send."""
        term = self.elected - stale
        for send in self.proposals.flush(RoleGroup(term, "leader", leader), self.now):
            proposal = send.proposal
            assert proposal.origin == Origin(A, 0, 9, self.number + 1), "numbers ascend, and none is used twice (S9)"
            assert (proposal.term, send.leader) == (term, leader)
            self.number += 1
            names = [command.key for command in unpack_commands(proposal.payload) or () if isinstance(command, Put)]
            assert names, "no proposal is empty"
            if fails:
                self.proposals.unsent(proposal.origin, self.now)
            else:
                self.left.update(names)
                self.log.open.append(Proposed(proposal.origin, proposal.term, names))

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.5, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(self.proposals.expire(self.now))

    # --- what becomes of a proposal that left

    @rule(position=positions, lost=rarely, code=st.sampled_from([NotLeader.code, ResourceExhausted.code]))
    def refused(self, position: int, lost: bool, code: str) -> None:
        if position < len(self.log.open):
            proposed = self.log.open.pop(position)
            if not lost:
                self.tell(self.proposals.on_not_proposed(proposed.origin, code, "", self.now))

    @rule(position=positions)
    def executed(self, position: int) -> None:
        if position >= len(self.log.open) or self.log.open[position].term != self.log.term:
            return
        proposed = self.log.open.pop(position)
        self.log.executed += proposed.names
        if self.registered:
            self.tell(self.proposals.on_results(proposed.origin, [b"did %s" % name for name in proposed.names]))

    # --- what happens around it

    @rule()
    def leader_changes(self) -> None:
        self.elected += 1

    @rule()
    def leaders_first_entry_is_applied(self) -> None:
        if self.log.term < self.elected:
            self.log.term = self.elected
            if self.registered:
                self.proposals.on_applied_term(self.log.term, self.now)

    @rule()
    def storage_forgets_the_gateway_or_meets_it_again(self) -> None:
        self.registered = not self.registered
        if self.registered:
            self.tell(self.proposals.on_results_lost())

    # --- what must hold

    def tell(self, tells: list[Tell]) -> None:
        for tell in tells:
            name = tell.client.request
            assert name not in self.answers, "a client is answered once"
            if tell.body.startswith(b"did "):
                assert tell.body == b"did " + name
                assert name in self.log.executed
                self.answers[name] = "result"
                continue
            error = response.decode(tell.body)
            assert isinstance(error, ErrorResult)
            self.answers[name] = error.code
            if error.code == Unknown.code:
                assert name in self.left, "what never left is certainly not executed"
            else:
                assert name not in self.log.executed
                assert not self.log.can_execute(name), "certainly not executed, and it never will be"

    def teardown(self) -> None:
        if not self.registered:
            self.storage_forgets_the_gateway_or_meets_it_again()
        # A leader that everybody hears: all commands that still have time are executed, in the end.
        self.leader_changes()
        self.leaders_first_entry_is_applied()
        self.now += 0.5
        self.tell(self.proposals.expire(self.now))
        in_time = set(self.names) - self.answers.keys()
        for _ in self.names:
            self.flush(stale=False, leader=A, fails=False)
            for position in reversed(range(len(self.log.open))):
                self.executed(position)
        assert {self.answers[name] for name in in_time} <= {"result"}
        assert self.proposals.expire(FAR) == []
        assert self.answers.keys() == set(self.names), "nobody is forgotten"
        assert len(self.log.executed) == len(set(self.log.executed)), "nothing is executed twice (trap 55)"


TestProposals = ProposalsMachine.TestCase
TestProposals.settings = settings(max_examples=150, stateful_step_count=40)
