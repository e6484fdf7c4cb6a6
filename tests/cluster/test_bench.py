"""Load on three real nodes, and pipelines of the client."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cluster.running import PATIENT, equal_and_led, free_ports, own_runtime, running
from tools import bench
from zraft import Client, PreconditionFailed
from zraft.bench import Load, measure
from zraft.cli import zraft
from zraft.client import Get, Put
from zraft.cluster import LocalCluster
from zraft.protocol.responses import BatchResult, DeleteResult, GetResult, PutResult

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def shared_cluster(module_path: Path) -> Iterator[LocalCluster]:
    with running(module_path, **PATIENT) as cluster:
        yield cluster


@pytest.mark.parametrize(
    "options",
    [
        ["--pipeline", "64"],
        ["--pipeline", "8", "--batch", "50"],
        ["--pipeline", "64", "--read-ratio", "1", "--fill"],
        ["--pipeline", "64", "--read-ratio", "0.5", "--spread", "--clients", "3"],
        ["--pipeline", "8", "--read-ratio", "0.5", "--batch", "20", "--consistency", "serializable"],
    ],
)
def test_load_of_every_kind_without_an_error(cluster: LocalCluster, options: list[str]) -> None:
    endpoints = ["--endpoints", ",".join(cluster.endpoints())]
    rest = ["--seconds", "1", "--keys", "2000", "--value-size", "64", "--output", "json"]
    result = CliRunner().invoke(zraft, ["bench", *endpoints, *rest, *options])
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["errors"], document["operations"] > 100) == ({}, True)
    assert document["not_found"] == 0 or "--fill" not in options
    assert document["terms"][0] == document["terms"][1]
    assert document["elapsed_seconds"] >= 0.9


def test_what_was_measured_was_written(cluster: LocalCluster, client: Client) -> None:
    load = Load(
        endpoints=tuple(cluster.endpoints()), clients=2, pipeline=4, keys=50, value_size=33, seconds=0.5, fill=True
    )
    before = next(client.range(limit=1, prefix="bench/"), None)
    figures = measure(load)
    assert figures.tally.errors == {}
    found = list(client.range(prefix="bench/", limit=50))
    assert [item.key for item in found] == [b"bench/%010d" % number for number in range(50)]
    assert {len(item.value) for item in found} == {33}
    assert before is None or before.mod_revision < found[0].mod_revision


def test_the_standard_set_is_two_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tools.bench.PORTS", free_ports(1))
    monkeypatch.setattr("tools.fresh_cluster.DIRECTORY", tmp_path)
    with own_runtime():
        bench.main(["--seconds", "0.3", "--nodes", "1"])
    rows = capsys.readouterr().out.splitlines()
    loads = ["lone put", "lone get", "puts, 2 x 128", "gets, 2 x 128", "puts by 100, 2 x"]
    assert [row[:16].split("  ")[0] for row in rows] == ["LOAD", *loads, "", "CPU us/op", *loads]
    assert all(float(row.split()[-2]) >= 0 for row in rows[8:])
    assert list(tmp_path.iterdir()) == []


def test_a_load_goes_on_when_the_leader_is_lost(cluster: LocalCluster) -> None:
    load = Load(endpoints=tuple(cluster.endpoints()), clients=1, pipeline=8, keys=50, seconds=3)
    leader = cluster.leader()
    with ThreadPoolExecutor() as pool:
        begun = threading.Event()
        running = pool.submit(measure, load, lambda *_: begun.set())
        assert begun.wait(30)
        cluster.kill(leader)
        figures = running.result(60)
    # What the leader had taken and not answered is unknown; all else was repeated.
    assert figures.tally.errors.keys() <= {"Unknown"}
    assert figures.tally.errors.total() <= 8
    assert figures.tally.operations > 100
    assert figures.terms[0] < figures.terms[1]


def test_a_pipeline_has_an_outcome_for_each_operation(cluster: LocalCluster, client: Client) -> None:
    with client.pipeline() as pipeline:
        for number in range(2_500):
            pipeline.put(f"p/{number:04d}", "v", expected_revision=0)
        outcomes = pipeline.execute()
        assert all(isinstance(one, PutResult) and one.success for one in outcomes)
        revisions = {one.revision for one in outcomes if isinstance(one, PutResult)}
        assert len(revisions) == 2_500
        pipeline.put("p/0000", "w", expected_revision=0).get("p/0001").get("p/absent").delete("p/0002")
        pipeline.batch([Put(b"p/a", b"1"), Put(b"p/b", b"2")]).batch([Get(b"p/0003")])
        refused, one, absent, deleted, written, read = pipeline.execute()
    assert isinstance(refused, PreconditionFailed)
    assert isinstance(one, GetResult)
    assert isinstance(absent, GetResult)
    assert (one.value, absent.found) == (b"v", False)
    assert isinstance(deleted, DeleteResult)
    assert deleted.found
    assert isinstance(written, BatchResult)
    assert isinstance(read, BatchResult)
    assert [type(result) for result in (*written.results, *read.results)] == [PutResult, PutResult, GetResult]
    assert len(list(client.range(prefix="p/"))) == 2_500 - 1 + 2
    equal_and_led(cluster)
