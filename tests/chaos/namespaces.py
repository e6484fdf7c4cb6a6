"""The network between the nodes of a local cluster, made of packets: each node in a network namespace of its own.

A router between them, one more namespace in which stands whoever runs the cluster, forwards what they send to each
other, and drops or rejects what nftables is told to. So nodes see what machines would: silence, TCP's retransmissions
with their growing pauses, connections of which only one end knows that they are dead. Clients stand at the router, and
reach every node. Needs root, iproute2 and nftables.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from tests.chaos.wires import PLANES, Wire
from zraft.cluster import LocalCluster, Ports

CLONE_NEWNET = 0x40000000
NETWORK = "198.18"
"""Set aside for tests of networks (RFC 2544): node-1 is 198.18.1.2, and the router's end of its wire 198.18.1.1."""
MISSING = {
    "delay": "this network is made of packets, and the kernel may lack netem",
    "damage": "TCP finds a damaged packet, and sends it again",
}
"""The faults that it can't have, and why."""
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@dataclass(eq=False)
class Route(Wire):
    """A wire by its addresses."""

    at: str
    to: str
    port: int

    def there(self) -> str:
        """The packets of the connecting side, as nftables says it."""
        return f"ip saddr {self.at} ip daddr {self.to} tcp dport {self.port}"

    def back(self) -> str:
        """The packets of the connected one."""
        return f"ip saddr {self.to} ip daddr {self.at} tcp sport {self.port}"


class Router:
    """Namespaces for nodes of these names, while the context lasts; the thread that enters it stands at the router."""

    def __init__(self, names: Sequence[str]) -> None:
        self._hub = f"zraft-{os.getpid()}-{next(_numbers)}"
        self._subnets = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, start=1)}
        self._home = -1
        self._rules: Counter[str] = Counter()
        self.wires: list[Route] = []
        self.missing = MISSING

    def __enter__(self) -> Self:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _run("ip", "netns", "add", self._hub)
            _enter(Path("/run/netns", self._hub))
            _run("ip", "link", "set", "lo", "up")
            _run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
            for name in self._subnets:
                self._connect(name)
            self._tell_rules()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def address(self, name: str) -> str:
        """Where a node listens."""
        return f"{self._subnets[name]}.2"

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """The calling thread stands where the node does, and so does what it starts there."""
        _enter(self._space(name))
        try:
            yield
        finally:
            _enter(Path("/run/netns", self._hub))

    @contextlib.contextmanager
    def cut(self, wires: Sequence[Route], there: bool = True, back: bool = True) -> Iterator[None]:
        """Packets are dropped without a word."""
        of = [wire.there() for wire in wires if there] + [wire.back() for wire in wires if back]
        with self._ruled(f"{packets} drop" for packets in of):
            yield

    @contextlib.contextmanager
    def refuse(self, wires: Sequence[Route]) -> Iterator[None]:
        """Each packet is answered with a reset."""
        with self._ruled(f"{packets} reject with tcp reset" for packets in _both_ways(wires)):
            yield

    @contextlib.contextmanager
    def delay(self, wires: Sequence[Route], seconds: float) -> Iterator[None]:
        """There is none: see ``missing``."""
        raise NotImplementedError(MISSING["delay"])
        yield

    @contextlib.contextmanager
    def lose(self, wires: Sequence[Route], share: float) -> Iterator[None]:
        """Packets are dropped by chance."""
        chance = f"numgen random mod 1000 < {round(1000 * share)}"
        with self._ruled(f"{packets} {chance} drop" for packets in _both_ways(wires)):
            yield

    @contextlib.contextmanager
    def damage(self, wires: Sequence[Route], share: float) -> Iterator[None]:
        """There is none: see ``missing``."""
        raise NotImplementedError(MISSING["damage"])
        yield

    @contextlib.contextmanager
    def _ruled(self, rules: Iterator[str]) -> Iterator[None]:
        mine = Counter(rules)
        self._rules += mine
        self._tell_rules()
        try:
            yield
        finally:
            self._rules -= mine
            self._tell_rules()

    def _tell_rules(self) -> None:
        """All of them anew, in one step."""
        lines = ["table ip zraft", "delete table ip zraft", "table ip zraft {", "chain forward {"]
        lines += ["type filter hook forward priority 0; policy accept;", *self._rules, "}", "}"]
        _run("nft", "-f", "-", text="\n".join(lines))

    def _connect(self, name: str) -> None:
        space, subnet, end = self._space(name).name, self._subnets[name], f"to-{name}"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "address", "add", f"{subnet}.1/24", "dev", end)
        _run("ip", "link", "set", end, "up")
        for command in (
            ("address", "add", f"{subnet}.2/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", f"{subnet}.1"),
        ):
            _run("ip", "-n", space, *command)

    def _leave(self) -> None:
        _set(self._home)
        os.close(self._home)
        for name in (*(self._space(name).name for name in self._subnets), self._hub):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def _space(self, name: str) -> Path:
        return Path("/run/netns", f"{self._hub}-{name}")


class RoutedCluster(LocalCluster):
    """A local cluster of three nodes, each in a namespace of the router."""

    def __init__(self, directory: Path, router: Router, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(directory, 3, ports=Ports(), options=options)
        self._router = router
        ports = {name: settings.peer_port for name, settings in self._settings.items()}
        peers = {name: f"{router.address(name)}:{port}" for name, port in ports.items()}
        for name, settings in self._settings.items():
            self._settings[name] = replace(settings, host=router.address(name), peers=peers).check()
        for (source, _), (target, port) in itertools.permutations(ports.items(), 2):
            for offset, plane in enumerate(PLANES):
                at, to = router.address(source), router.address(target)
                router.wires.append(Route(source, target, plane, at, to, port + offset))

    def _start(self, name: str) -> None:
        with self._router.inside(name):
            super()._start(name)


@functools.cache
def available() -> str | None:
    """Why there can be no such network here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft", "sysctl"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    try:
        with (
            Router(["node-1", "node-2"]) as router,
            router.lose([Route("", "", "", NETWORK + ".1.2", "1.1.1.1", 1)], 0.5),
        ):
            return None
    except OSError as error:
        return f"network namespaces do not work: {error}"


def _both_ways(wires: Sequence[Route]) -> Iterator[str]:
    for wire in wires:
        yield wire.there()
        yield wire.back()


def _enter(space: Path) -> None:
    descriptor = os.open(space, os.O_RDONLY)
    try:
        _set(descriptor)
    finally:
        os.close(descriptor)


def _set(descriptor: int) -> None:
    """The calling thread alone moves there."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace can't be entered")


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
