"""Faults for a cluster of containers: kills, pauses and disconnects nodes of a compose project, and repairs them again.

    python -m tools.compose_nemesis --minutes 10 --endpoints 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083

Needs a Docker engine, and the package docker (``pip install 'zraft[tools]'``); the profile ``chaos`` of the compose
file runs it in a container. It decides nothing about what is right: ``zraft verify`` does, which is started beside it
for ``--endpoints`` and whose exit code it ends with. It never has more than a minority of the nodes out at once, so
service must go on.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
FAULT_S = (1.0, 15.0)
CALM_S = (1.0, 10.0)


class Container(Protocol):
    """What is used of a container of the Docker SDK."""

    name: str

    def kill(self) -> None:
        """SIGKILL to its first process."""

    def start(self) -> None:
        """Start it again."""

    def pause(self) -> None:
        """Freeze all of its processes."""

    def unpause(self) -> None:
        """Let them go on."""


class Network(Protocol):
    """What is used of a network of the Docker SDK."""

    def disconnect(self, container: Container) -> None:
        """Cut a container off."""

    def connect(self, container: Container) -> None:
        """Let it in again."""


class ServiceNetwork:
    """The network of a compose project: who is let in again gets back the name of its service, which the engine drops.

    Args:
        network: of the Docker SDK.
    """

    def __init__(self, network: Any) -> None:
        self._network = network

    def disconnect(self, container: Any) -> None:
        """Cut a container off."""
        self._network.disconnect(container)

    def connect(self, container: Any) -> None:
        """Let it in again, under the name by which the others know it."""
        self._network.connect(container, aliases=[container.labels[SERVICE_LABEL]])


class Nemesis:
    """Strikes some of the containers, waits, repairs them, waits, until the time is up.

    Args:
        containers: one a node.
        network: the one between them.
        rng: decides whom, how and for how long: the same seed, the same faults.
        sleep: waits so many seconds.
        refusal: what the engine raises when it can't do what it was asked, as a pause on a machine that is too busy:
            that is no fault, and needs no repair.
    """

    def __init__(
        self,
        containers: Sequence[Container],
        network: Network,
        rng: random.Random,
        sleep: Callable[[float], None] = time.sleep,
        refusal: type[Exception] | None = None,
    ) -> None:
        self._containers = list(containers)
        self._rng = rng
        self._sleep = sleep
        self._refusals = (refusal,) if refusal else ()
        self._faults: dict[str, tuple[Callable[[Container], None], Callable[[Container], None]]] = {
            "kill": (lambda one: one.kill(), lambda one: one.start()),
            "pause": (lambda one: one.pause(), lambda one: one.unpause()),
            "disconnect": (network.disconnect, network.connect),
        }
        self.struck = 0
        """Faults so far."""

    def rage(self, seconds: float) -> None:
        """Rounds for so long; all is repaired then, so that what was acknowledged can be read back."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.round()

    def round(self) -> None:
        """One fault to one node or, of five and more, to several, and its repair."""
        rng = self._rng
        out = rng.sample(self._containers, rng.randint(1, max(1, (len(self._containers) - 1) // 2)))
        name = rng.choice(sorted(self._faults))
        strike, repair = self._faults[name]
        print(f"{name} {', '.join(one.name for one in out)}", flush=True)
        done: list[Container] = []
        try:
            for one in out:
                done.append(one)
                try:
                    strike(one)
                    self.struck += 1
                except self._refusals as error:
                    done.remove(one)
                    print(f"refused: {error}", flush=True)
            self._sleep(rng.uniform(*FAULT_S))
        finally:  # whatever interrupts it: nothing stays broken
            for one in done:
                repair(one)
        self._sleep(rng.uniform(*CALM_S))


def checked_load(
    endpoints: Sequence[str], seconds: float, history: str, output: int | None = None
) -> subprocess.Popen[str]:
    """``zraft verify``, for so long: its last line is the verdict, and its exit code 0 when nothing was wrong.

    Args:
        endpoints: of the nodes' clients.
        seconds: of load; it takes a little longer.
        history: the file for all that was asked and answered.
        output: where its standard output goes, as ``subprocess`` has it.
    """
    command = [sys.executable, "-m", "zraft.cli", "verify", "--seconds", str(seconds), "--clients", "4"]
    options = ["--history", history, "--endpoints", ",".join(endpoints)]
    return subprocess.Popen([*command, *options], stdout=output, text=True)


def main() -> None:
    """The command line."""
    import docker  # only here: nobody else needs an engine

    parser = argparse.ArgumentParser(prog="python -m tools.compose_nemesis", description=__doc__)
    parser.add_argument("--project", default="zraft", help="name of the compose project")
    parser.add_argument("--service", default="node", help="nodes are the services whose names begin with this")
    parser.add_argument("--network", default="", help="the network between the nodes; default: <project>_default")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument(
        "--endpoints", default="", help="where clients connect; default: no load, somebody else's is judged"
    )
    parser.add_argument("--history", default="zraft-history.jsonl", help="file for what zraft verify was answered")
    options = parser.parse_args()
    engine = docker.from_env()
    found = engine.containers.list(filters={"label": f"{PROJECT_LABEL}={options.project}"})
    nodes = sorted(
        (one for one in found if one.labels.get(SERVICE_LABEL, "").startswith(options.service)),
        key=lambda one: one.name,
    )
    if len(nodes) < 3:
        parser.exit(2, f"{len(nodes)} nodes run in the project {options.project!r}: faults need three at least\n")
    network = ServiceNetwork(engine.networks.get(options.network or f"{options.project}_default"))
    print(f"seed {options.seed}, nodes {', '.join(one.name for one in nodes)}", flush=True)
    nemesis = Nemesis(nodes, network, random.Random(options.seed), refusal=docker.errors.APIError)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of the repair
    seconds = 60 * options.minutes
    if not options.endpoints:
        nemesis.rage(seconds)
        print(f"faults={nemesis.struck}")
        return
    with checked_load(options.endpoints.split(","), seconds, options.history) as load:
        try:
            nemesis.rage(seconds)
            load.wait()
        finally:
            load.terminate()
    print(f"faults={nemesis.struck}", flush=True)
    sys.exit(load.returncode)


if __name__ == "__main__":
    main()
