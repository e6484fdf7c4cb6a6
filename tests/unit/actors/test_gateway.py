"""The gateway actor between real sockets, with a trio that says what the test wants."""

import socket
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.unit.actors.kept import KeptSockets
from zraft.actors.clock import clock
from zraft.actors.gateway import GatewayActor
from zraft.actors.launch import Launch, StopSignal, page_path
from zraft.actors.logs import Log
from zraft.actors.sockets import LOCAL_MESSAGES_MAX
from zraft.config import Settings
from zraft.core.records import APPLIED, AppliedState, pack_applied
from zraft.errors import NotLeader, Unavailable, Unknown
from zraft.protocol import codec
from zraft.protocol.client import (
    PROTOCOL_VERSION,
    ClusterStatus,
    ErrorResult,
    Get,
    GetResult,
    Put,
    PutResult,
    Request,
    RequestHeader,
    Response,
    ResponseHeader,
)
from zraft.protocol.entries import Configuration, EntryId, Member
from zraft.protocol.local import (
    Applied,
    AppliedTerm,
    CommitGroup,
    IdentityGroup,
    LeaseGroup,
    NodeGroup,
    Propose,
    Register,
    Registered,
    Results,
    RoleGroup,
    RoundAnswer,
    RoundRequest,
    StorageGroup,
    WaitApplied,
)
from zraft.protocol.peer import NotProposed
from zraft.store.directory import DataDirectory, ipc_endpoint
from zraft.store.page import Group, Page
from zraft.store.state import LmdbState

WAIT_MS = 10_000
ME = 0xA
CLUSTER = b"0123456789abcdef"
MEMBERS = Configuration(0, (Member(ME, "node-1"), Member(0xB, "node-2")))
LEADING = RoleGroup(5, "leader", ME)
DONE = PutResult(True, None, 9, 4, 4)


CHANNELS: dict[str, codec.Channel[object]] = {
    "election": codec.gateway_to_election,
    "replication": codec.gateway_to_replication,
    "storage": codec.gateway_to_storage,
}


class Trio:
    """One incarnation of election, replication and storage, as the gateway meets them."""

    def __init__(self, sockets: KeptSockets, runtime: Path, incarnation: int) -> None:
        self.incarnation = incarnation
        self._frame = codec.incarnation_frame(incarnation)
        self._routes: dict[str, bytes] = {}
        self._sockets = {
            part: sockets.bind_router(ipc_endpoint(runtime, incarnation, f"{part}.gateways"), LOCAL_MESSAGES_MAX)
            for part in CHANNELS
        }

    def hear(self, part: str) -> object:
        """The next message to this actor; registrations are repeated, so they are answered or left out."""
        while True:
            assert self._sockets[part].poll(WAIT_MS), f"nothing came to {part}"
            self._routes[part], incarnation, frame = self._sockets[part].recv_multipart()
            assert incarnation == self._frame
            message = CHANNELS[part].decode(frame)
            if not isinstance(message, Register):
                return message

    def meet(self) -> None:
        """The gateway registers, and is told that it is new."""
        assert self._sockets["storage"].poll(WAIT_MS), "no registration came"
        self._routes["storage"], _, frame = self._sockets["storage"].recv_multipart()
        assert isinstance(codec.gateway_to_storage.decode(frame), Register)
        self.say("storage", Registered(True))

    def say(self, part: str, message: object, incarnation: int = 0) -> None:
        frame = codec.incarnation_frame(incarnation) if incarnation else self._frame
        self._sockets[part].send_multipart([self._routes[part], frame, codec.encode(message)])

    def hear_proposal(self) -> Propose:
        proposal = self.hear("replication")
        assert isinstance(proposal, Propose)
        return proposal

    def hear_round_request(self) -> RoundRequest:
        request = self.hear("election")
        assert isinstance(request, RoundRequest)
        return request

    def confirm_round(self, request: RoundRequest) -> None:
        self.say("election", RoundAnswer(request.request, LEADING.term))


class Node:
    """A gateway in a thread, a page, a state that has applied 3, and one client."""

    def __init__(self, home: Path, sockets: KeptSockets) -> None:
        self.home, self.sockets = home, sockets
        self.page = Page.create(page_path(home))
        self.settings = Settings(data_dir=str(home / "data"), port=free_port(), peer_port=free_port())
        state = LmdbState(DataDirectory(home / "data").state_path(0), self.settings.map_size_gib << 30)
        set_applied(state, 3)
        state.close()
        self.stop = StopSignal()
        self.actor = GatewayActor(Launch(self.settings, str(home), 0, 0, None), Log("node-1", "gateway"))
        self._thread = threading.Thread(target=self.actor.run, args=(self.stop,))
        self._answers: deque[tuple[bytes, bytes]] = deque()
        self._context = zmq.Context()
        self.client = self._context.socket(zmq.DEALER)
        self.client.connect(f"tcp://127.0.0.1:{self.settings.port}")
        self._thread.start()

    def start_trio(self, incarnation: int = 1) -> Trio:
        """It runs, leads, and has met the gateway."""
        trio = Trio(self.sockets, self.home, incarnation)
        self.page.publish(Group.IDENTITY, codec.encode(IdentityGroup(ME, CLUSTER, MEMBERS)))
        self.page.publish(Group.STORAGE, codec.encode(StorageGroup(0, 5, 1, 3, 3, 3, 2, 0)))
        self.page.publish(Group.ROLE, codec.encode(LEADING))
        self.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 3)))
        self.page.publish(Group.NODE, codec.encode(NodeGroup(incarnation)))
        trio.meet()
        return trio

    def ask(self, request: Request, name: bytes = b"1", timeout_ms: int = 0) -> None:
        header = RequestHeader(PROTOCOL_VERSION, b"", timeout_ms)
        self.client.send_multipart([b"", codec.encode(header), name, codec.encode(request)])

    def answer(self) -> tuple[bytes, Response]:
        """The next one, of this message or of another."""
        if not self._answers:
            assert self.client.poll(WAIT_MS), "no answer"
            _, self.header, *frames = self.client.recv_multipart()
            self._answers += zip(frames[::2], frames[1::2], strict=True)
        name, body = self._answers.popleft()
        return name, codec.response.decode(body)

    def error(self) -> str:
        _, answer = self.answer()
        assert isinstance(answer, ErrorResult)
        return answer.code

    def finish(self) -> None:
        self.stop.request()
        self._thread.join()

    def close(self) -> None:
        self.finish()
        self.actor.close()
        self._context.destroy(0)
        self.stop.close()
        self.page.close()


def set_applied(state: LmdbState, index: int) -> None:
    """The entry of that index, of term 5, was applied last; the one before made the store's revision."""
    state.set_meta(APPLIED, pack_applied(AppliedState(EntryId(index, 5), index - 1, 0, 0, 0)))
    state.commit()


def free_port() -> int:
    """Of three in a row, since a gateway binds the third behind its peer port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return min(port, 65_000)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    sockets = KeptSockets()
    node = Node(tmp_path, sockets)
    yield node
    node.close()
    sockets.close()


def results(proposal: Propose, *answers: PutResult) -> Results:
    return Results(proposal.origin, 9, codec.encode(list(answers)))


def test_beside_a_trio_that_does_not_run_nothing_is_served(node: Node) -> None:  # S13
    for request in (Put(b"k", b"v"), Get(b"k"), Get(b"k", serializable=True)):
        node.ask(request)
        assert node.error() == Unavailable.code
    node.start_trio()
    node.ask(Get(b"k", serializable=True))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_a_write_is_proposed_once_and_answered_by_the_own_storage(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    assert (proposal.term, proposal.grows, proposal.origin.member) == (5, True, ME)
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)
    assert codec.response_header.decode(node.header) == ResponseHeader(
        PROTOCOL_VERSION, CLUSTER, "node-1", "node-1", f"127.0.0.1:{node.settings.port}", 5
    )


def test_another_incarnations_message_is_dropped(node: Node) -> None:  # S1
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    trio.say("storage", results(proposal, PutResult(True, None, 1, 1, 1)), incarnation=77)
    trio.say("storage", results(proposal, DONE))
    assert node.answer() == (b"1", DONE)


def test_what_was_refused_is_proposed_again_under_another_number(node: Node) -> None:  # S9
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    first = trio.hear_proposal()
    trio.say("replication", NotProposed(first.origin, NotLeader.code, "leads term 6"))
    second = trio.hear_proposal()
    assert (second.origin.number, second.payload) == (first.origin.number + 1, first.payload)
    trio.say("storage", AppliedTerm(5))
    trio.say("storage", results(first, PutResult(True, None, 1, 1, 1)))
    trio.say("storage", results(second, DONE))
    assert node.answer() == (b"1", DONE)


def test_when_the_trio_restarts_what_was_sent_is_unknown_and_the_rest_goes_on(node: Node) -> None:
    trio = node.start_trio()
    for number in range(4):
        node.ask(Put(b"sent", b"v"), b"sent %d" % number)
        trio.hear_proposal()
    node.ask(Put(b"kept", b"v"), b"kept")
    node.ask(ClusterStatus(), b"marker")
    assert node.answer()[0] == b"marker"
    node.page.publish(Group.NODE, codec.encode(NodeGroup(0)))
    assert {node.error() for _ in range(4)} == {Unknown.code}
    trio = node.start_trio(incarnation=2)
    trio.say("storage", results(trio.hear_proposal(), DONE))
    assert node.answer() == (b"kept", DONE)


def test_a_storage_that_forgot_the_gateway_makes_what_was_sent_unknown(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()
    trio.say("storage", Registered(True))
    assert node.error() == Unknown.code


def test_a_read_waits_until_its_index_is_applied(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)


def test_the_commit_index_of_a_read_is_loaded_after_its_round(node: Node) -> None:  # S10, trap 41
    trio = node.start_trio()
    node.ask(Get(b"k"))
    request = trio.hear_round_request()
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 8)))
    trio.confirm_round(request)
    assert trio.hear("storage") == WaitApplied(8)


def test_under_a_lease_a_read_asks_nobody(node: Node) -> None:  # S12
    node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(LeaseGroup(5, clock() + 60)))
    node.ask(Get(b"k"))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_the_commit_index_of_a_read_under_a_lease_is_not_one_from_before(node: Node) -> None:  # S12, trap 41
    trio = node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(LeaseGroup(5, clock() + 60)))
    node.ask(Get(b"k"))
    assert node.answer() == (b"1", GetResult(False, None, None, 2))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    node.ask(Get(b"k"))
    assert trio.hear("storage") == WaitApplied(7)


@pytest.mark.parametrize("lease", [LeaseGroup(5, 0.0), LeaseGroup(4, 1e12)], ids=["ended", "of an older term"])
def test_without_a_valid_lease_a_read_asks_for_a_round(node: Node, lease: LeaseGroup) -> None:  # S12
    trio = node.start_trio()
    node.page.publish(Group.LEASE, codec.encode(lease))
    node.ask(Get(b"k"))
    trio.confirm_round(trio.hear_round_request())
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_a_storage_that_forgot_the_gateway_forgot_its_waits_and_reads_are_asked_again(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)
    trio.say("storage", Registered(True))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 3)))  # in truth it never goes back
    trio.confirm_round(trio.hear_round_request())
    assert node.answer() == (b"1", GetResult(False, None, None, 2))


def test_a_read_is_served_when_storage_has_applied_its_index(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"))
    node.page.publish(Group.COMMIT, codec.encode(CommitGroup(5, 7)))
    trio.confirm_round(trio.hear_round_request())
    assert trio.hear("storage") == WaitApplied(7)
    state = LmdbState(DataDirectory(node.home / "data").state_path(1), node.settings.map_size_gib << 30)
    set_applied(state, 7)
    state.close()
    node.page.publish(Group.STORAGE, codec.encode(StorageGroup(1, 5, 1, 7, 7, 7, 6, 0)))
    trio.say("storage", Applied(7))
    assert node.answer() == (b"1", GetResult(False, None, None, 6))


def test_each_deadline_is_kept(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Get(b"k"), timeout_ms=50)
    node.ask(Put(b"k", b"v"), timeout_ms=50)
    trio.hear_round_request()
    trio.hear_proposal()
    assert {node.error(), node.error()} == {Unavailable.code, Unknown.code}


def test_requests_in_flight_are_answered_before_the_gateway_stops(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    proposal = trio.hear_proposal()
    node.stop.request()
    trio.say("storage", results(proposal, DONE))
    node.finish()
    node.actor.close()
    assert node.answer() == (b"1", DONE)


def test_what_can_not_be_answered_in_time_does_not_hold_up_the_stop(node: Node) -> None:
    trio = node.start_trio()
    node.ask(Put(b"k", b"v"))
    trio.hear_proposal()
    node.finish()
