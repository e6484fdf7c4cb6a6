"""A gateway that hangs: all nodes send what they are asked through it if its node leads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.json import encode

from tests.cluster.load import Load
from tests.cluster.running import WAIT_S, free_ports, own_runtime, roster, verify
from tests.waiting import wait_until
from zraft import Client
from zraft.actors.supervisor import ACTORS
from zraft.cluster import LocalCluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
# Without "if __name__ == '__main__'": children do not run their parent's script again.
MAIN = """
import sys, msgspec
from zraft.actors import supervisor
from zraft.config import Settings
supervisor.HUNG_SECONDS = 5.0
sys.exit(supervisor.run(msgspec.json.decode(sys.argv[1], type=Settings), msgspec.json.decode(sys.argv[2])))
"""


def test_a_leader_whose_gateway_stands_still_hands_over(cluster: LocalCluster, load: Load) -> None:
    with load:
        old = cluster.leader()
        pid = roster(cluster, old).actors["gateway"]
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: cluster.leader() != old, WAIT_S, "another leader")
            load.wait_for_progress()
        finally:
            os.kill(pid, signal.SIGCONT)
        load.wait_for_progress()
    verify(cluster, load)


def test_a_gateway_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    settings = LocalCluster(tmp_path, 1, ports=free_ports(1)).settings("node-1")
    modules = ACTORS | {"gateway": "tests.cluster.hanging_gateway"}
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    arguments = [sys.executable, str(script), encode(settings).decode(), json.dumps(modules)]
    log = tmp_path / "log"
    with own_runtime() as runtime, log.open("w") as stderr:
        environment = os.environ | {"XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(arguments, env=environment, stderr=stderr) as supervisor:
            try:
                wait_until(lambda: "gateway killed" in log.read_text(), WAIT_S, "the gateway to be killed")
                with Client(f"127.0.0.1:{settings.port}", timeout=WAIT_S) as client:
                    client.put("a", "1")
                    assert client.get("a").value == b"1"
            finally:
                supervisor.send_signal(signal.SIGTERM)
        assert supervisor.returncode == 0, log.read_text()
    assert log.read_text().count("gateway killed") == 1
