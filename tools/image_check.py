"""The image on a real engine: ``make image-check``. Exit code 0 when all of it is as it should be.

1. Three nodes by compose write and read; then containers are killed, paused and disconnected under load, and
   ``zraft verify`` judges what was answered.
2. Each is stopped under load: in order, in time, with exit code 0, its state closed.
3. Pods as the overlay ``try`` has them, with its environment, user and read-only root, under the names that a
   StatefulSet gives; one of them comes back with another address. What a scale-up, a scale-down, a lost volume and the
   hook before a stop come to there.

Needs an engine with Compose, kubectl, the image zraft:latest, and the package docker (``pip install 'zraft[tools]'``).
Where the engine has a network of its own, run it in there. It makes the compose project zraft-check and removes it.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tools.compose_nemesis import Nemesis, ServiceNetwork, checked_load
from zraft import Client

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "zraft-check"
COMPOSE = ("docker", "compose", "--project-name", PROJECT, "--file", str(ROOT / "compose" / "compose.yaml"))
IMAGE = "zraft:latest"
NODES = ("node-1", "node-2", "node-3")
ENDPOINTS = tuple(f"127.0.0.1:808{number}" for number in (1, 2, 3))
FAULTS_S = 60.0
GRACE_S = 20
"""As in the compose file; a node that needs longer is killed, and its exit code is another one."""
DATA = "/var/lib/zraft"


def require(what: str, is_so: object) -> None:
    """Prints what was checked; ends the program when it is not so."""
    print(f"{'ok  ' if is_so else 'FAIL'} {what}", flush=True)
    if not is_so:
        sys.exit(1)


def wait_for(what: str, is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Asks until it is so, and requires that it becomes so."""
    end = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < end:
        time.sleep(0.5)
    require(what, found)


def compose(*arguments: str) -> None:
    """Runs a command of compose on the project."""
    subprocess.run([*COMPOSE, *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def judged_load(seconds: float) -> Iterator[subprocess.Popen[str]]:
    """``zraft verify`` beside what is done meanwhile; it must find nothing wrong."""
    with checked_load(ENDPOINTS, seconds, "/dev/null", subprocess.PIPE) as process:
        yield process
        told, _ = process.communicate()
    require(told.strip().splitlines()[-1], process.returncode == 0)


def faults(containers: list[Any], network: Any, seed: int, refusal: type[Exception]) -> None:
    """Faults to containers under a judged load."""
    nemesis = Nemesis(containers, ServiceNetwork(network), random.Random(seed), refusal=refusal)
    with judged_load(FAULTS_S):
        nemesis.rage(FAULTS_S)
    require(f"{nemesis.struck} faults to containers", nemesis.struck > 2)


def stops(engine: Any, containers: list[Any]) -> None:
    """Orderly stops under a judged load."""
    with judged_load(45.0):
        for one in containers:
            began = time.monotonic()
            one.stop(timeout=GRACE_S)
            took = time.monotonic() - began
            one.reload()
            code, killed = one.attrs["State"]["ExitCode"], one.attrs["State"]["OOMKilled"]
            ended = code == 0 and not killed
            require(f"{one.name} stopped in {took:.1f} s with exit code {code}", ended)
            volume = {mount["Name"]: {"bind": DATA} for mount in one.attrs["Mounts"] if mount["Destination"] == DATA}
            files = engine.containers.run(IMAGE, [f"{DATA}/data"], entrypoint="ls", volumes=volume, remove=True)
            require(f"{one.name} closed its state", b"log" in files and b"dirty" not in files)
            one.start()
            wait_for(f"{one.name} serves again", partial(_is_healthy, one))


def _is_healthy(container: Any) -> bool:
    container.reload()
    return bool(container.attrs["State"]["Health"]["Status"] == "healthy")


def pod(engine: Any, network: Any, name: str, spec: dict[str, Any]) -> Any:
    """A container as the kubelet would run it for the pod of that name."""
    (one,) = spec["containers"]
    given = {"POD_NAME": name, "POD_NAMESPACE": "zraft"}
    for variable in one["env"]:
        if "value" in variable:
            given[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: given[match[1]], variable["value"])
    mounts = {mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]}
    container = engine.containers.create(
        one["image"],
        one["args"],
        name=f"{PROJECT}-{name}",
        environment=given,
        user=f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}",
        read_only=one["securityContext"]["readOnlyRootFilesystem"],
        cap_drop=one["securityContext"]["capabilities"]["drop"],
        security_opt=["no-new-privileges:true"],
        mem_limit=one["resources"]["limits"]["memory"].removesuffix("i"),
        tmpfs={mounts["run"]: "mode=2777,size=64m"},  # as an emptyDir of a pod with an fsGroup
        volumes={f"{PROJECT}-{name}": {"bind": mounts["data"]}},
        labels={PROJECT: ""},
    )
    engine.networks.get("bridge").disconnect(container)
    network.connect(container, aliases=[f"{name}.zraft-peers", f"{name}.zraft-peers.zraft.svc"])
    container.start()
    return container


def address(container: Any, network: Any) -> str:
    """Its address in the network."""
    container.reload()
    found: str = container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    return found


def run_in(container: Any, *command: str) -> bool:
    """Whether a command in a container succeeds."""
    return bool(container.exec_run(["zraft", *command]).exit_code == 0)


def pods(engine: Any, spec: dict[str, Any]) -> None:
    """Three pods form a cluster by their names; one comes back elsewhere."""
    network = engine.networks.create(PROJECT, labels={PROJECT: ""})
    names = [f"zraft-{number}" for number in range(3)]
    containers = {name: pod(engine, network, name, spec) for name in names}
    first = containers["zraft-0"]
    wait_for("three pods form a cluster", lambda: run_in(first, "health"))
    require("it is written to", run_in(first, "put", "greeting", "hello"))
    before = address(containers["zraft-1"], network)
    containers["zraft-1"].remove(force=True)
    require("two of three are enough", run_in(first, "put", "greeting", "again"))
    squatter = engine.containers.create(IMAGE, ["60"], entrypoint="sleep", network=PROJECT, labels={PROJECT: ""})
    squatter.start()  # on the address that has become free
    back = containers["zraft-1"] = pod(engine, network, "zraft-1", spec)
    require(f"zraft-1 is back at {address(back, network)}, no more at {before}", address(back, network) != before)
    wait_for("it has what was written without it", lambda: _serializable(back) == b"again")
    wait_for("it serves", lambda: run_in(back, "get", "greeting"))
    wait_for("the others find it", lambda: first.exec_run(["zraft", "status"]).output.count(b"silent") == 0)
    lost_volume(engine, network, containers, spec)
    scaled(engine, network, containers, spec)
    hooks(list(containers.values()), spec)


def lost_volume(engine: Any, network: Any, containers: dict[str, Any], spec: dict[str, Any]) -> None:
    """The pod whose volume is gone waits, alive, for one command, and comes back by itself then."""
    first, name = containers["zraft-0"], "zraft-2"
    containers[name].remove(force=True)
    engine.volumes.get(f"{PROJECT}-{name}").remove()
    back = containers[name] = pod(engine, network, name, spec)
    wait_for("a pod without its volume says what to do", lambda: f"zraft member remove {name}" in _health(back))
    require("it is to be started again by nobody", _answers(back, "/health/live"))
    require("one command", run_in(first, "member", "remove", name))
    wait_for("it is a voter again", lambda: _voters(first) == {"zraft-0", "zraft-1", name})
    wait_for("it serves", lambda: _answers(back, "/health/ready"))
    wait_for("it has all that was written", lambda: _serializable(back) == b"again")


def scaled(engine: Any, network: Any, containers: dict[str, Any], spec: dict[str, Any]) -> None:
    """Two more pods, and two less."""
    first, more = containers["zraft-0"], ("zraft-3", "zraft-4")
    for name in more:
        containers[name] = pod(engine, network, name, spec)
    wait_for("five voters by five pods", lambda: len(_voters(first)) == len(containers))
    for name in more:
        containers[name].restart(timeout=GRACE_S)
        wait_for(
            f"{name} is started again as the member that it is", partial(_answers, containers[name], "/health/ready")
        )
    require("five voters still", len(_voters(first)) == len(containers))
    for name in reversed(more):
        require(f"{name} is removed", run_in(first, "member", "remove", name))
        wait_for("it says so", partial(_says, containers[name], "it was removed from the cluster"))
        containers.pop(name).remove(force=True)
    require("three voters are left", _voters(first) == set(containers))
    require("they write", run_in(first, "put", "greeting", "three"))


def hooks(containers: list[Any], spec: dict[str, Any]) -> None:
    """The command before a stop: in the leader's pod it hands over, elsewhere it does nothing."""
    (one,) = spec["containers"]
    command = one["lifecycle"]["preStop"]["exec"]["command"]
    before = _leader(containers[0])
    for container in sorted(containers, key=lambda container: container.name.endswith(before)):  # the leader last
        told = _leader(containers[0])
        code, output = container.exec_run(command)
        require(f"{container.name} before its stop: {output.decode().strip()}", code == 0)
        changed = _leader(containers[0]) != told
        require("the leader has handed over, nobody else", changed == container.name.endswith(told))


def _leader(container: Any) -> str:
    statuses = json.loads(container.exec_run(["zraft", "status", "--output", "json"]).output)
    found: str = statuses["leader_id"]
    return found


def _voters(container: Any) -> set[str]:
    listed = container.exec_run(["zraft", "member", "list", "--output", "json"])
    members = json.loads(listed.output)["members"] if listed.exit_code == 0 else []
    return {member["name"] for member in members if member["role"] == "voter"}


def _health(container: Any) -> str:
    """What /health tells within the container, whatever its status code."""
    script = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9090, timeout=5); c.request('GET', '/health'); "
        "print(c.getresponse().read().decode())"
    )
    output: bytes = container.exec_run(["python3", "-c", script]).output
    return output.decode()


def _says(container: Any, text: str) -> bool:
    return text in _health(container)


def _answers(container: Any, path: str) -> bool:
    """Whether an HTTP resource answers within the container that all is well."""
    script = f"import urllib.request as r; r.urlopen('http://127.0.0.1:9090{path}', timeout=5)"
    return bool(container.exec_run(["python3", "-c", script]).exit_code == 0)


def _serializable(container: Any) -> bytes:
    output: bytes = container.exec_run(["zraft", "get", "greeting", "--consistency", "serializable"]).output
    return output


def clean(engine: Any) -> None:
    """Removes what this program made, also what another run of it left."""
    compose("down", "--volumes")
    for one in engine.containers.list(all=True, filters={"label": PROJECT}):
        one.remove(force=True, v=True)
    for one in engine.networks.list(names=[PROJECT]):
        one.remove()
    for one in engine.volumes.list():
        if one.name.startswith(f"{PROJECT}-"):
            one.remove()


def main() -> None:
    """All of it, one after the other."""
    import docker  # only here: nobody else needs an engine

    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    engine = docker.from_env()
    built = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "deploy" / "overlays" / "try")], check=True, capture_output=True
    )
    (stateful,) = [one for one in yaml.safe_load_all(built.stdout) if one["kind"] == "StatefulSet"]
    clean(engine)
    try:
        compose("up", "--detach", "--wait", *NODES)
        with Client(ENDPOINTS) as client:
            client.put("greeting", "hello")
            require("a value is written and read", client.get("greeting").value == b"hello")
        containers = [engine.containers.get(f"{PROJECT}-{name}-1") for name in NODES]
        faults(containers, engine.networks.get(f"{PROJECT}_default"), seed, docker.errors.APIError)
        for one in containers:
            wait_for(f"{one.name} is well after the faults", partial(_is_healthy, one))
        stops(engine, containers)
        compose("down", "--volumes")
        pods(engine, stateful["spec"]["template"]["spec"])
    finally:
        clean(engine)
    print("all is well")


if __name__ == "__main__":
    main()
