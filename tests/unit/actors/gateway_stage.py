"""The stage for tests of the gateway actor: real sockets, and a trio that says what the test wants."""

import threading
from collections import deque
from pathlib import Path

import zmq

from tests.ports import free_port
from tests.unit.actors.kept import KeptSockets
from zraft.actors.gateway import GatewayActor
from zraft.actors.launch import Launch, StopSignal, page_path
from zraft.actors.logs import Log
from zraft.actors.sockets import LOCAL_MESSAGES_MAX
from zraft.config import Settings
from zraft.core.records import APPLIED, AppliedState, pack_applied
from zraft.protocol import codec
from zraft.protocol.entries import Configuration, EntryId, Member
from zraft.protocol.local import (
    CommitGroup,
    IdentityGroup,
    NodeGroup,
    Propose,
    Register,
    Registered,
    RoleGroup,
    RoundAnswer,
    RoundRequest,
    StorageGroup,
)
from zraft.protocol.requests import PROTOCOL_VERSION, Request, RequestHeader
from zraft.protocol.responses import ErrorResult, Response
from zraft.store.directory import DataDirectory, ipc_endpoint
from zraft.store.page import Group, Page
from zraft.store.state import LmdbState

WAIT_MS = 10_000
ME = 0xA
CLUSTER = b"0123456789abcdef"
MEMBERS = Configuration(0, (Member(ME, "node-1"), Member(0xB, "node-2")))
LEADING = RoleGroup(5, "leader", ME)


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

    def heard(self, part: str) -> bool:
        """Whether anything waits for this actor by now."""
        return bool(self._sockets[part].poll(0))

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
        self.actor = GatewayActor(Launch(self.settings, home, 0, 0, None), Log("node-1", "gateway"))
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

    def replace_state(self, applied: int) -> None:
        """The state is another one now, that has applied so far; the page says so."""
        state = LmdbState(DataDirectory(self.home / "data").state_path(1), self.settings.map_size_gib << 30)
        set_applied(state, applied)
        state.close()
        group = StorageGroup(1, 5, 1, applied, applied, applied, applied - 1, 0)
        self.page.publish(Group.STORAGE, codec.encode(group))

    def damage_state(self) -> None:
        """What the state says of itself does not match its checksum any more."""
        state = LmdbState(DataDirectory(self.home / "data").state_path(1), self.settings.map_size_gib << 30)
        state.set_meta(APPLIED, b"\xff" * 52)
        state.commit()
        state.close()
        self.page.publish(Group.STORAGE, codec.encode(StorageGroup(1, 5, 1, 3, 3, 3, 2, 0)))

    def join(self) -> None:
        """Wait for the end of the gateway, which comes by itself."""
        self._thread.join()

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
