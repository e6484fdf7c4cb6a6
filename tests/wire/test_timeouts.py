"""The time-out of one call, against a node that never answers."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.wire.scripted import ScriptedNode
from zraft import Client, Unavailable, Unknown, ZraftError

WITHIN_S = 0.3


@pytest.fixture
def silent() -> Iterator[ScriptedNode]:
    with ScriptedNode(lambda _: None) as node:
        yield node


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda client: client.put("k", "v", timeout=WITHIN_S), Unknown),
        (lambda client: client.get("k", timeout=WITHIN_S), Unavailable),
        (lambda client: next(client.range(timeout=WITHIN_S)), Unavailable),
        (lambda client: _raised(client.pipeline().put("k", "v").execute(timeout=WITHIN_S)), Unknown),
    ],
)
def test_a_call_ends_within_its_own_time_and_the_node_is_told(
    silent: ScriptedNode, ask: Callable[[Client], object], kind: type[ZraftError]
) -> None:
    with Client(silent.endpoint, timeout=60) as client:
        began = time.monotonic()
        with pytest.raises(kind):
            ask(client)
        assert time.monotonic() - began < 10
    assert all(header.timeout_ms < WITHIN_S * 1000 for header in silent.headers)
    assert silent.headers


def _raised(outcomes: list[object]) -> None:
    [outcome] = outcomes
    assert isinstance(outcome, ZraftError)
    raise outcome
