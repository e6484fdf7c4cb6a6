"""The nemesis of compose clusters, on containers that only note what is done to them."""

import random
from typing import ClassVar

import pytest

from tools.compose_nemesis import CALM_S, FAULT_S, SERVICE_LABEL, Nemesis, ServiceNetwork


class Noted:
    """A container, and the network as it sees it."""

    def __init__(self, name: str, log: list[tuple[str, str]], breaks_at: str = "") -> None:
        self.name = name
        self._log = log
        self._breaks_at = breaks_at

    def note(self, what: str) -> None:
        self._log.append((what, self.name))
        if what == self._breaks_at:
            raise OSError("the engine is gone")

    def kill(self) -> None:
        self.note("kill")

    def start(self) -> None:
        self.note("start")

    def pause(self) -> None:
        self.note("pause")

    def unpause(self) -> None:
        self.note("unpause")


class Network:
    def disconnect(self, container: Noted) -> None:
        container.note("disconnect")

    def connect(self, container: Noted) -> None:
        container.note("connect")


REPAIR = {"kill": "start", "pause": "unpause", "disconnect": "connect"}


@pytest.mark.parametrize(("nodes", "most"), [(3, 1), (4, 1), (5, 2), (7, 3)])
def test_a_minority_is_struck_and_repaired(nodes: int, most: int) -> None:
    log: list[tuple[str, str]] = []
    waits: list[float] = []
    containers = [Noted(f"node-{number}", log) for number in range(nodes)]
    nemesis = Nemesis(containers, Network(), random.Random(nodes), waits.append)  # type: ignore[arg-type]
    seen, sizes = set(), set()
    for _ in range(200):
        log.clear()
        waits.clear()
        nemesis.round()
        half = len(log) // 2
        strikes, repairs = log[:half], log[half:]
        assert repairs == [(REPAIR[what], name) for what, name in strikes]
        assert FAULT_S[0] <= waits[0] <= FAULT_S[1]
        assert CALM_S[0] <= waits[1] <= CALM_S[1]
        seen |= {what for what, _ in strikes}
        sizes.add(half)
    assert seen == set(REPAIR)
    assert sizes == set(range(1, most + 1))
    assert nemesis.struck >= 200


def test_nothing_stays_broken_when_it_is_interrupted() -> None:
    log: list[tuple[str, str]] = []
    containers = [Noted(f"node-{number}", log) for number in range(3)]

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    nemesis = Nemesis(containers, Network(), random.Random(1), interrupted)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        nemesis.round()
    (what, name), *rest = log
    assert rest == [(REPAIR[what], name)]


def test_what_the_engine_refuses_is_no_fault_and_is_not_repaired() -> None:
    log: list[tuple[str, str]] = []
    containers = [Noted(f"node-{number}", log, breaks_at="pause") for number in range(3)]
    nemesis = Nemesis(containers, Network(), random.Random(3), lambda seconds: None, OSError)  # type: ignore[arg-type]
    for _ in range(30):
        nemesis.round()
    strikes = [what for what, _ in log if what in REPAIR and what != "pause"]
    assert ("pause", "node-1") in log
    assert not [what for what, _ in log if what == "unpause"]
    assert nemesis.struck == len(strikes) == len([what for what, _ in log if what in REPAIR.values()])


def test_the_same_seed_makes_the_same_faults() -> None:
    logs: list[list[tuple[str, str]]] = [[], []]
    for log in logs:
        nemesis = Nemesis(
            [Noted(f"node-{number}", log) for number in range(5)],
            Network(),  # type: ignore[arg-type]
            random.Random(9),
            lambda seconds: None,
        )
        for _ in range(20):
            nemesis.round()
    assert logs[0] == logs[1] != []


def test_a_container_gets_the_name_of_its_service_back() -> None:
    connected: list[tuple[object, list[str]]] = []

    class Engine:
        def connect(self, container: object, aliases: list[str]) -> None:
            connected.append((container, aliases))

    class Labelled:
        labels: ClassVar = {SERVICE_LABEL: "node-2"}

    container = Labelled()
    ServiceNetwork(Engine()).connect(container)
    assert connected == [(container, ["node-2"])]
