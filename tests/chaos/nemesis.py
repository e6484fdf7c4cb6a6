"""Who harms a cluster: one fault or two at a time, drawn from a seed, each healed after a while.

What can't be done on this machine (no root, no strace) is left out, and ``Nemesis.missing`` says why.
"""

import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Generic

from tests.chaos import short_logs, strace, wallclock
from tests.chaos.power import PowerCutDisk, exhaust
from tests.chaos.wallclock import WallClocks
from tests.chaos.wires import PLANES, Network, W
from tests.cluster.running import roster
from tests.waiting import let_pass, wait_until
from zraft.cluster import LocalCluster
from zraft.cluster.processes import ClusterError
from zraft.core.restarts import TRIO
from zraft.store.directory import DataDirectory, runtime_directory
from zraft.store.fault import acknowledge_sync_failure, pending_sync_failure

ACTORS = (*TRIO, "gateway", "supervisor")
LASTS_S = (0.3, 3.0)
QUIET_S = (0.3, 1.5)
TWO_AT_A_TIME = 0.3
ON_ALL = 0.1
FALL_BEHIND = "fall_behind"
"""The fault that only short logs make possible."""
BEHIND_S = 10.0

OnNode = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Mixture:
    """What a nemesis draws from: ``only`` these faults, if any are named; all waits are ``pace`` times as long."""

    only: frozenset[str] = frozenset()
    pace: float = 1.0


ALL = Mixture()


class NoSuchFault(ValueError):
    """A mixture names what can't be struck here, or no fault of a single node."""


class Nemesis(Generic[W]):
    """Draws faults and counts them.

    Args:
        cluster: whom it harms.
        network: between its nodes.
        disks: those of its nodes, by name; none if there are no such disks here.
        clocks: those of its nodes; None if they can't be set.
        rng: what it does is drawn from it.
        mixture: which faults it draws, and how fast they follow.

    Raises:
        NoSuchFault: the mixture names what can't be struck here, or no fault of a single node.
    """

    def __init__(
        self,
        cluster: LocalCluster,
        network: Network[W],
        disks: Mapping[str, PowerCutDisk],
        clocks: WallClocks | None,
        rng: random.Random,
        mixture: Mixture = ALL,
    ) -> None:
        self.faults: Counter[str] = Counter()
        self.missing: dict[str, str] = {}
        self._cluster = cluster
        self._network = network
        self._disks = disks
        self._clocks = clocks
        self._rng = rng
        self._pace = mixture.pace
        self._on_node: list[OnNode] = [
            self.kill_node,
            self.kill_actor,
            self.kill_actor,
            self.pause_node,
            self.pause_actor,
            self.isolate,
            self.cut_one_way,
            self.refuse,
            self.delay,
            self.lose,
            self.damage,
        ]
        for what, why in network.missing.items():
            self.missing[what] = why
            self._on_node = [fault for fault in self._on_node if fault.__name__ != what]
        self._on_all = [self.kill_all, self.restart_all]
        if disks:
            self._on_node += [self.cut_power, self.fill_disk]
            self._on_all.append(self.cut_all_power)
        else:
            self.missing["power cuts and full disks"] = "there are no disks of the nodes' own"
        if clocks is None:
            self.missing["jumps of the wall clock"] = wallclock.available() or "there are none"
        else:
            self._on_node.append(self.jump_clock)
        if short_logs.are_in(cluster):
            self._on_node += [self.fall_behind] * 2
        else:
            self.missing[FALL_BEHIND] = "logs are not kept short in this round"
        if reason := strace.available():
            self.missing["failing and stalling fsync"] = reason
        else:
            self._on_node += [self.fail_fsync, self.stall_fsync]
        if mixture.only:
            self._choose(mixture.only)

    def strike(self) -> None:
        """One fault, or two on different nodes; returns when they are healed and some time has passed."""
        if self._on_all and self._rng.random() < ON_ALL:
            fault = self._rng.choice(self._on_all)
            print(f"  {fault.__name__}", flush=True)
            fault()
            self.faults[fault.__name__] += 1
        else:
            count = 1 + (self._rng.random() < TWO_AT_A_TIME)
            with ExitStack() as stack:
                for name in self._rng.sample(self._cluster.names, count):
                    strike = self._rng.choice(self._on_node)
                    print(f"  {strike.__name__} {name}", flush=True)
                    with contextlib.suppress(ProcessLookupError):  # its victim has just ended by itself
                        stack.enter_context(strike(name))
                        self.faults[strike.__name__] += 1
                let_pass(self._pace * self._rng.uniform(*LASTS_S))
        let_pass(self._pace * self._rng.uniform(*QUIET_S))

    def heal(self) -> None:
        """All nodes run, and one of them leads."""
        for name in self._cluster.names:
            if self._cluster.condition(name) == "dead":
                self._cluster.restart(name)
        self._cluster.wait_until_ready()

    # --- processes

    @contextlib.contextmanager
    def kill_node(self, name: str) -> Iterator[None]:
        self._cluster.kill(name)
        yield
        self._bring_back(name)

    @contextlib.contextmanager
    def kill_actor(self, name: str) -> Iterator[None]:
        actor = self._rng.choice(ACTORS)
        roster(self._cluster, name)
        self._cluster.kill(name, actor)
        yield
        if actor == "supervisor":
            self._bring_back(name)

    @contextlib.contextmanager
    def fall_behind(self, name: str) -> Iterator[None]:
        """It is away until the others' logs begin behind its own, and their leader has forgotten what it had in memory.

        So it must be sent a snapshot; unless another fault keeps the others from writing meanwhile.
        """
        last = max((answer.last_log_index for answer in self._cluster.status().values() if answer), default=0)
        self._cluster.kill(name)
        yield

        def leader() -> str:
            others = [answer for answer in self._cluster.status().values() if answer and answer.node_id != name]
            is_cut = all(answer.first_log_index > last + 1 for answer in others)
            return next((answer.node_id for answer in others if is_cut and answer.state == "leader"), "")

        with contextlib.suppress(AssertionError, ClusterError):
            self._cluster.kill(wait_until(leader, self._pace * BEHIND_S, "logs that were cut"), "replication")
        self._bring_back(name)

    @contextlib.contextmanager
    def pause_node(self, name: str) -> Iterator[None]:
        self._cluster.pause(name)
        yield
        self._cluster.resume(name)

    @contextlib.contextmanager
    def pause_actor(self, name: str) -> Iterator[None]:
        pid = roster(self._cluster, name).actors[self._rng.choice((*TRIO, "gateway"))]
        os.kill(pid, signal.SIGSTOP)
        yield
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def kill_all(self) -> None:
        for name in self._cluster.names:
            self._cluster.kill(name)
        self._cluster.up()

    def restart_all(self) -> None:
        self._cluster.down()
        self._cluster.up()

    # --- the network

    def isolate(self, name: str) -> AbstractContextManager[None]:
        """From all others, silently."""
        return self._network.cut(self._wires_of(name))

    @contextlib.contextmanager
    def cut_one_way(self, name: str) -> Iterator[None]:
        """What the node sends, or what it is sent, on one plane: the other direction goes on."""
        plane, is_heard = self._rng.choice(PLANES), self._rng.random() < 0.5
        made = [wire for wire in self._wires_of(name) if wire.plane == plane and wire.source == name]
        taken = [wire for wire in self._wires_of(name) if wire.plane == plane and wire.target == name]
        with (
            self._network.cut(made, there=not is_heard, back=is_heard),
            self._network.cut(taken, there=is_heard, back=not is_heard),
        ):
            yield

    def refuse(self, name: str) -> AbstractContextManager[None]:
        """Connections on some planes are reset, and refused."""
        planes = self._rng.sample(PLANES, self._rng.randint(1, len(PLANES)))
        return self._network.refuse([wire for wire in self._wires_of(name) if wire.plane in planes])

    def delay(self, name: str) -> AbstractContextManager[None]:
        plane = self._rng.choice(PLANES)
        wires = [wire for wire in self._wires_of(name) if wire.plane == plane]
        return self._network.delay(wires, self._rng.uniform(0.005, 0.3))

    def lose(self, name: str) -> AbstractContextManager[None]:
        plane = self._rng.choice(PLANES)
        wires = [wire for wire in self._wires_of(name) if wire.plane == plane]
        return self._network.lose(wires, self._rng.uniform(0.05, 0.5))

    def damage(self, name: str) -> AbstractContextManager[None]:
        """ZeroMQ ends a connection whose framing is broken; the rest is for the checksums of messages."""
        plane = self._rng.choice(PLANES)
        wires = [wire for wire in self._wires_of(name) if wire.plane == plane]
        return self._network.damage(wires, self._rng.uniform(0.05, 0.5))

    # --- clocks

    @contextlib.contextmanager
    def jump_clock(self, name: str) -> Iterator[None]:
        """The wall clock, forward or back, and back again: it decides nothing."""
        assert self._clocks is not None
        session = roster(self._cluster, name).supervisor
        self._clocks.set_off(session, self._rng.choice((-1, 1)) * int(10 ** self._rng.uniform(0, 8)))
        yield
        self._clocks.set_off(session, 0)

    # --- disks

    @contextlib.contextmanager
    def cut_power(self, name: str) -> Iterator[None]:
        self._cluster.kill(name)
        self._disks[name].cut()
        yield
        self._bring_back(name)

    def cut_all_power(self) -> None:
        for name in self._cluster.names:
            self._cluster.kill(name)
        for disk in self._disks.values():
            disk.cut()
        self._cluster.up()

    @contextlib.contextmanager
    def fill_disk(self, name: str) -> Iterator[None]:
        filler = self._disks[name].path / "filler"
        exhaust(self._disks[name], filler)
        yield
        filler.unlink()

    @contextlib.contextmanager
    def stall_fsync(self, name: str) -> Iterator[None]:
        delay_us = self._rng.randint(50_000, 3_000_000)
        with strace.attached(roster(self._cluster, name).actors["storage"], f"fdatasync:delay_enter={delay_us}"):
            yield

    @contextlib.contextmanager
    def fail_fsync(self, name: str) -> Iterator[None]:
        """The node stays out until the operator, played here, has looked (S13)."""
        path = self._cluster.settings(name).data_path()
        with strace.attached(roster(self._cluster, name).actors["storage"], "fdatasync:error=EIO"):
            yield
        self._cluster.kill(name)
        data, runtime = DataDirectory(path), runtime_directory(path)
        if pending_sync_failure(data, runtime) is not None:
            acknowledge_sync_failure(data, runtime)
        self._bring_back(name)

    def _choose(self, only: frozenset[str]) -> None:
        known = {fault.__name__ for fault in (*self._on_node, *self._on_all)}
        if unknown := only - known:
            raise NoSuchFault(
                f"no such faults here: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}"
            )
        self._on_node = [fault for fault in self._on_node if fault.__name__ in only]
        self._on_all = [fault for fault in self._on_all if fault.__name__ in only]
        if not self._on_node:
            raise NoSuchFault("at least one fault of a single node must be among them")

    def _bring_back(self, name: str) -> None:
        # While another fault lasts it may find no leader in time: what counts is that all are well when all is healed.
        with contextlib.suppress(ClusterError):
            self._cluster.restart(name)

    def _wires_of(self, name: str) -> list[W]:
        return [wire for wire in self._network.wires if name in (wire.source, wire.target)]
