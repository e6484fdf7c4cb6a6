"""The network between the nodes of a local cluster: a TCP proxy for each pair of nodes, plane and direction.

Needs no rights. What TCP makes of a bad network is what a node sees of it: a cut holds bytes back until it is healed
(or the connection is given up), a lost packet is a pause until it is sent again, a reset closes at once, and
damage that its checksum did not tell is another bit.
"""

import asyncio
import contextlib
import itertools
import random
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from tests.chaos.wires import PLANES, Wire
from zraft.cluster import LocalCluster, Ports
from zraft.config import split_address

PROXY_PORTS_FROM = 40
"""Behind the peer ports' begin; the nodes' own end before."""
CHUNK_BYTES = 1 << 16
RETRANSMISSION_S = 0.2
HOST = "127.0.0.1"
LINGER_NOT = struct.pack("ii", 1, 0)
"""The end of a connection is a reset."""


@dataclass
class Weather:
    """How bytes fare that one node sends to another on one plane. Times are seconds."""

    is_cut: bool = False
    delay: float = 0.0
    loss: float = 0.0
    damage: float = 0.0


@dataclass(eq=False)
class Proxy(Wire):
    """A wire by its two ends: where it listens, and where it goes to."""

    port: int
    goes_to: tuple[str, int]
    there: Weather = field(default_factory=Weather)
    back: Weather = field(default_factory=Weather)
    is_refused: bool = False
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        if self.is_refused:
            await _close(writer)
            return
        try:
            further_reader, further_writer = await asyncio.open_connection(*self.goes_to)
        except OSError:
            await _close(writer)
            return
        ends = {writer, further_writer}
        self.open |= ends
        if self.is_refused:  # meanwhile
            self.reset()
        pumps = [
            asyncio.ensure_future(_pump(reader, further_writer, self.there)),
            asyncio.ensure_future(_pump(further_reader, writer, self.back)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in ends:
                await _close(end)
            self.open -= ends

    def reset(self) -> None:
        """Close all connections at once."""
        for writer in self.open:
            _reset(writer)


def _both_ways(wires: Sequence[Proxy]) -> list[Weather]:
    return [weather for wire in wires for weather in (wire.there, wire.back)]


@contextlib.contextmanager
def _changed(weathers: list[Weather], what: str, bad: float, calm: float) -> Iterator[None]:
    for weather in weathers:
        setattr(weather, what, bad)
    try:
        yield
    finally:
        for weather in weathers:
            setattr(weather, what, calm)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    _reset(writer)
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weather: Weather) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(weather.delay)
            while not writer.is_closing() and (weather.is_cut or random.random() < weather.loss):
                await asyncio.sleep(RETRANSMISSION_S)
            writer.write(_damaged(data) if random.random() < weather.damage else data)
            await writer.drain()


def _damaged(data: bytes) -> bytes:
    damaged = bytearray(data)
    damaged[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(damaged)


class ProxiedCluster(LocalCluster):
    """A local cluster of three nodes that reach each other through proxies only."""

    def __init__(self, directory: Path, ports: Ports, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(directory, 3, ports=ports, options=options)
        self.wires: list[Proxy] = []
        begin = itertools.count(ports.peer + PROXY_PORTS_FROM, len(PLANES))
        for name, settings in self._settings.items():
            peers = dict(settings.peers)
            for target in peers.keys() - {name}:
                host, port = split_address(settings.peers[target])
                base = next(begin)
                peers[target] = f"{HOST}:{base}"
                for offset, plane in enumerate(PLANES):
                    self.wires.append(Proxy(name, target, plane, base + offset, (host, port + offset)))
            self._settings[name] = replace(settings, peers=peers).check()


class Proxies:
    """Runs the wires in a thread while the context lasts."""

    def __init__(self, wires: Sequence[Proxy]) -> None:
        self.wires = wires
        self.missing: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the proxies did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @contextlib.contextmanager
    def cut(self, wires: Sequence[Proxy], there: bool = True, back: bool = True) -> Iterator[None]:
        """Bytes are held back: those of the connecting side, of the connected one, or both."""
        weathers = [wire.there for wire in wires if there] + [wire.back for wire in wires if back]
        with _changed(weathers, "is_cut", True, False):
            yield

    @contextlib.contextmanager
    def refuse(self, wires: Sequence[Proxy]) -> Iterator[None]:
        """Connections are closed, and no new ones are made."""
        for wire in wires:
            wire.is_refused = True
            self._loop.call_soon_threadsafe(wire.reset)
        try:
            yield
        finally:
            for wire in wires:
                wire.is_refused = False

    @contextlib.contextmanager
    def delay(self, wires: Sequence[Proxy], seconds: float) -> Iterator[None]:
        """Bytes come late, both ways."""
        with _changed(_both_ways(wires), "delay", seconds, 0.0):
            yield

    @contextlib.contextmanager
    def lose(self, wires: Sequence[Proxy], share: float) -> Iterator[None]:
        """Bytes are held back by chance as if lost and sent again, both ways."""
        with _changed(_both_ways(wires), "loss", share, 0.0):
            yield

    @contextlib.contextmanager
    def damage(self, wires: Sequence[Proxy], share: float) -> Iterator[None]:
        """Of a share of what is read at once a bit is flipped, both ways."""
        with _changed(_both_ways(wires), "damage", share, 0.0):
            yield

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for wire in self.wires:
                await stack.enter_async_context(await asyncio.start_server(wire.serve, HOST, wire.port))
            self._ready.set()
            await self._stop.wait()
            for wire in self.wires:
                wire.is_refused = True
                wire.reset()
            serving = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*serving, return_exceptions=True)
