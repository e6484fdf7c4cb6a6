"""What all methods of a client have in common, without any node."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.answers import ANSWERS
from zraft import Client, InvalidArgument, Pipeline, Unavailable
from zraft.client import operations
from zraft.client.core import Core

ASK: dict[str, Callable[[Any, dict[str, Any]], object]] = {
    "put": lambda client, own: client.put("k", "v", **own),
    "get": lambda client, own: client.get("k", **own),
    "delete": lambda client, own: client.delete("k", **own),
    "range": lambda client, own: list(client.range(prefix="k", **own)),
    "batch": lambda client, own: client.batch([operations.Put("k", "v")], **own),
    "compact": lambda client, own: client.compact(1, **own),
    "transfer_leadership": lambda client, own: client.transfer_leadership(**own),
    "members": lambda client, own: client.members(**own),
    "add_member": lambda client, own: client.add_member("n", **own),
    "promote_member": lambda client, own: client.promote_member("n", **own),
    "remove_member": lambda client, own: client.remove_member("n", **own),
    "status": lambda client, own: client.status(**own),
    "snapshot": lambda client, own: client.snapshot(Path("never"), **own),
    "execute": lambda client, own: client.pipeline().put("k", "v").execute(**own),
}
ASK_NOBODY = {"pipeline", "close"}


def test_every_method_that_asks_the_cluster_is_known_here() -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert methods - ASK_NOBODY == ASK.keys() - {"execute"}, "call it in ASK, so that its time-out is tested"


@pytest.mark.parametrize("name", ASK)
def test_every_argument_of_a_method_is_explained(name: str) -> None:
    method = getattr(Pipeline if name == "execute" else Client, name)
    arguments = (inspect.getdoc(method) or "").partition("Args:\n")[2]
    explained = re.findall(r"^    ([a-z_]+): ", arguments, re.MULTILINE)
    assert explained == [one for one in inspect.signature(method).parameters if one != "self"]


@pytest.mark.parametrize("name", ASK)
def test_a_call_has_the_time_that_it_is_given_or_the_clients(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[float] = []

    def call(core: Core, request: object, answer: object, now: float, timeout: float, only: str = "") -> None:
        given.append(timeout)
        raise Unavailable("nobody is there")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Core, "call", call)
    with Client("127.0.0.1:1", timeout=60) as client:
        for own in ({}, {"timeout": None}, {"timeout": 0.5}):
            with pytest.raises(Unavailable):
                ASK[name](client, own)
    assert given == [60, 60, 0.5]


@pytest.mark.parametrize("name", ASK)
def test_a_request_is_answered_by_the_record_that_the_protocol_names(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[type, type]] = []

    def call(core: Core, request: object, answer: type, *_: object) -> None:
        asked.append((type(request), answer))
        raise Unavailable("nobody is there")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Core, "call", call)
    with Client("127.0.0.1:1") as client, pytest.raises(Unavailable):
        ASK[name](client, {})
    assert all(ANSWERS[request] is answer for request, answer in asked)
    assert asked


@pytest.mark.parametrize("timeout", [0, -1.0, float("inf"), 1e8, "5", True])
@pytest.mark.parametrize("name", ASK)
def test_a_wrong_time_out_is_refused_at_once(name: str, timeout: object) -> None:
    with Client("127.0.0.1:1", timeout=60) as client, pytest.raises(InvalidArgument, match="timeout"):
        ASK[name](client, {"timeout": timeout})


def test_a_wrong_time_out_of_a_range_is_refused_before_it_is_gone_through() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidArgument):
        client.range(timeout=0)


def test_a_wrong_time_out_leaves_a_pipeline_as_it_was() -> None:
    with Client("127.0.0.1:1") as client, client.pipeline() as pipeline:
        with pytest.raises(InvalidArgument):
            pipeline.put("k", "v").execute(timeout=0)
        assert len(pipeline) == 1


def test_a_repr_tells_the_endpoints_also_after_the_end() -> None:
    with Client(["a:1", "b:2"], timeout=2) as client, client.pipeline() as pipeline:
        pipeline.put("k", "secret")
        assert repr(pipeline) == "<Pipeline of 1 operations, to a:1,b:2>"
    assert repr(client) == "Client('a:1,b:2', timeout=2)"
    assert repr(pipeline) == "<Pipeline of 0 operations, to a:1,b:2>"


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_holds_connections_is_neither_pickled_nor_copied(act: Callable[[object], object]) -> None:
    with Client("127.0.0.1:1") as client:
        for one, name in ((client, "Client"), (client.pipeline(), "Pipeline"), (client.range(), "Listing")):
            with pytest.raises(TypeError, match=f"a {name} can't be pickled or copied: make "):
                act(one)
