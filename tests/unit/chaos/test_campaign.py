"""The campaign of real faults without a cluster: whatever comes of a round, there is a verdict and what it rests on."""

import contextlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Self

import pytest

from tests.chaos import campaign, namespaces, short_logs, wallclock
from tests.chaos.campaign import Plan, Tally
from tests.chaos.nemesis import FALL_BEHIND, Mixture, Nemesis, NoSuchFault
from tests.cluster.test_installing import INSTALLED
from tests.cluster.test_snapshots import MADE
from zraft.cluster import LocalCluster
from zraft.errors import Unavailable
from zraft.verify import LoadSettings, Operation, Result, read_history

NAMES = ("node-1", "node-2", "node-3")

Play = Callable[..., tuple[int, list[str]]]


class Cluster:
    """Nodes that only log, in ``directory``."""

    names = NAMES

    def __init__(self, directory: Path, options: Mapping[str, Any]) -> None:
        self.directory = directory
        self.options = options

    def up(self) -> None:
        for name in NAMES:
            (self.directory / f"{name}.log").write_text(f"{MADE}\n{name} of a round\n")
        with (self.directory / "node-2.log").open("a") as log:
            log.write(f'event="{INSTALLED}"\n')

    def down(self) -> None:
        pass

    def endpoints(self) -> list[str]:
        return ["a:1", "b:1", "c:1"]

    def status(self) -> dict[str, SimpleNamespace | None]:
        return dict.fromkeys(NAMES, SimpleNamespace(last_applied=9, revision=8, compacted_revision=0))

    def settings(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(data_path=lambda: self.directory / name)


def told(operation: Literal["put", "get"], at: int, result: Result, value: str | None = None) -> Operation:
    """What a client of its own was told, of what it asked at that moment."""
    return Operation(
        client=at,
        operation=operation,
        key="chaos/1",
        value=value,
        outcome="ok",
        revision=1,
        result=result,
        invocation=at,
        completion=at + 1,
    )


class Load:
    """Clients that were told a put, and a get that saw it."""

    def __init__(self, settings: LoadSettings) -> None:
        self.settings = settings
        wrote = Result(revision=1, mod_revision=1)
        read = Result(found=True, revision=1, value="1.", create_revision=1, mod_revision=1, version=1)
        self.history = [told("put", 1, wrote, "1."), told("get", 3, read)]
        self.acknowledged = [1]
        self.errors: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.errors:
            raise self.errors[0]

    def read_back(self) -> None:
        pass


class Harmless:
    """A nemesis that strikes nobody."""

    missing: Mapping[str, str] = {}

    def __init__(self, *_: object) -> None:
        self.faults: Counter[str] = Counter()

    def strike(self) -> None:
        self.faults["kill_node"] += 1

    def heal(self) -> None:
        pass


@contextlib.contextmanager
def connected(directory: Path, options: Mapping[str, Any]) -> Iterator[tuple[Cluster, None]]:
    yield Cluster(directory, options), None


@contextlib.contextmanager
def no_disks(directory: Path) -> Iterator[dict[str, object]]:
    yield {}


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign of one round in which all is well."""
    monkeypatch.setattr(namespaces, "available", lambda: "no network here")
    monkeypatch.setattr(wallclock, "available", lambda: "no clocks here")
    monkeypatch.setattr(short_logs, "equal_and_led", lambda cluster: "node-1")
    monkeypatch.setattr(short_logs, "STILL_S", 0.01)
    parts = {
        "ROUND_S": 0.02,
        "_proxied": connected,
        "_disks": no_disks,
        "CheckedLoad": Load,
        "Nemesis": Harmless,
        "equal_and_led": lambda cluster: "node-1",
        "_state_of": lambda path: (1, "alike"),
    }
    for name, part in parts.items():
        monkeypatch.setattr(campaign, name, part)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def play(output: Path, capsys: pytest.CaptureFixture[str]) -> Play:
    """Plays some rounds; its exit code, and what it printed."""

    def playing(*more: str) -> tuple[int, list[str]]:
        code = campaign.main(["--minutes", "0.001", "--seed", "7", "--output", str(output), *more])
        return code, capsys.readouterr().out.splitlines()

    return playing


def raising(error: BaseException) -> Any:
    def act(*_: object) -> None:
        raise error

    return act


def test_a_good_campaign_ends_with_its_line_and_leaves_nothing(play: Play, output: Path) -> None:
    code, lines = play()
    assert code == 0
    assert re.fullmatch(r"operations=[1-9]\d* faults=[1-9]\d* unknown=0 violations=0", lines[-1])
    assert not output.exists()


BAD = {
    "replicas that never become equal": (campaign, "equal_and_led", AssertionError("waited 60 s for equal nodes")),
    "a read back that fails": (Load, "read_back", Unavailable("no leader")),
    "a fault that can't be struck": (Harmless, "strike", OSError("no such process")),
    "nodes that don't come back": (Harmless, "heal", AssertionError("waited")),
    "a check that falls over": (campaign, "check", KeyError("revision")),
    "a state that can't be read": (campaign, "_state_of", ValueError("max() of nothing")),
}


@pytest.mark.parametrize("where", BAD.values(), ids=BAD)
def test_whatever_ends_a_round_is_a_violation_and_its_history_is_kept(
    play: Play, output: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str, Exception]
) -> None:
    owner, name, error = where
    monkeypatch.setattr(owner, name, raising(error))
    code, lines = play()
    assert code == 1
    assert re.fullmatch(r"operations=\d+ faults=\d+ unknown=0 violations=1", lines[-1])
    (told,) = [line for line in lines if "VIOLATION" in line]
    assert f"{type(error).__name__}: {error}" in told
    assert len(list(read_history(output / "history.jsonl"))) == 2
    assert "node-1 of a round" in (output / "node-1.log").read_text()


def test_a_client_that_died_is_a_violation_and_what_the_others_were_told_is_judged(
    play: Play, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Load):
        def __init__(self, settings: LoadSettings) -> None:
            super().__init__(settings)
            self.errors = [KeyError("a bug"), SystemExit(3)]

    monkeypatch.setattr(campaign, "CheckedLoad", Dying)
    code, lines = play()
    told = [line.strip() for line in lines if "VIOLATION" in line]
    begin = "VIOLATION a client died, and what it asked last is not in the history: "
    assert told == [f"{begin}KeyError: 'a bug'", f"{begin}SystemExit: 3"]
    assert code == 1
    assert re.fullmatch(r"operations=2 faults=\d+ unknown=0 violations=2", lines[-1])
    assert (output / "history.jsonl").exists()


def test_a_cluster_that_never_comes_up_is_a_violation(
    play: Play, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "up", raising(OSError("a port is taken")))
    code, lines = play()
    assert (code, lines[-1]) == (1, "operations=0 faults=0 unknown=0 violations=1")
    assert list(output.iterdir()) == []  # nobody asked anything


def test_a_violation_in_the_history_is_drawn_and_an_older_picture_goes(
    play: Play, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mixed(Load):
        def read_back(self) -> None:
            lost = Result(found=False, revision=1)
            self.history.append(told("get", 5, lost))

    with monkeypatch.context() as patch:
        patch.setattr(campaign, "CheckedLoad", Mixed)
        code, lines = play()
    assert (code, lines[-1].rpartition(" ")[2]) == (1, "violations=1")
    assert (output / "history.jsonl.html").exists()
    monkeypatch.setattr(campaign, "_state_of", lambda path: path.name)
    code, lines = play()
    assert any("the replicas differ: " in line for line in lines)
    assert not (output / "history.jsonl.html").exists()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), pytest.fail.Exception("timeout")])
def test_an_interruption_is_no_violation(
    play: Play, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    monkeypatch.setattr(Harmless, "strike", raising(interruption))
    with pytest.raises(type(interruption)):
        play()


def test_good_histories_are_kept_for_others_on_demand(play: Play, tmp_path: Path, output: Path) -> None:
    kept = tmp_path / "deep" / "kept"
    code, _ = play("--keep", str(kept))
    assert code == 0
    names = sorted(path.name for path in kept.iterdir())
    assert "seed-7-round-1.jsonl" in names
    assert len(names) == len(set(names)) >= 1
    first, second = read_history(kept / "seed-7-round-1.jsonl")
    assert (first.operation, second.operation) == ("put", "get")
    assert not output.exists()


def test_a_bad_history_is_not_among_those_of_good_rounds(
    play: Play, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Load, "read_back", raising(Unavailable("no leader")))
    play("--keep", str(tmp_path / "kept"))
    assert list((tmp_path / "kept").iterdir()) == []
    assert (output / "history.jsonl").exists()


def test_a_campaign_that_checked_nothing_fails_and_says_so(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = play("--minutes", "0")
    assert code == 1
    assert lines[-2:] == [
        "nothing was checked: no operation came to its check",
        "operations=0 faults=0 unknown=0 violations=0",
    ]

    class Refused(Load):
        def __init__(self, settings: LoadSettings) -> None:
            super().__init__(settings)
            self.acknowledged = [0]

    monkeypatch.setattr(campaign, "CheckedLoad", Refused)
    code, lines = play()
    assert (code, lines[-2]) == (1, "nothing was checked: not one write was acknowledged")


def test_a_fault_that_there_is_not_is_a_mistake_of_the_caller(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "Nemesis", raising(NoSuchFault("no such faults here: kil_node")))
    with pytest.raises(SystemExit) as ended:
        play("--only", "kil_node")
    assert ended.value.code == 2


def test_a_round_tells_its_snapshots(play: Play) -> None:
    _, lines = play()
    assert "  snapshots: 3 made, 1 installed" in lines
    rounds = lines.count("  snapshots: 3 made, 1 installed")
    assert f"snapshots: {rounds} installed, {3 * rounds} made" in lines


def options_of(seed: int, only: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Mapping[str, Any], int]:
    """The options of the nodes of a campaign's first round, and how long the values of its load are."""
    seen: list[tuple[Mapping[str, Any], int]] = []
    nodes: list[Mapping[str, Any]] = []

    @contextlib.contextmanager
    def noted(directory: Path, options: Mapping[str, Any]) -> Iterator[tuple[Cluster, None]]:
        nodes.append(options)
        yield Cluster(directory, options), None

    def load(settings: LoadSettings) -> Load:
        seen.append((nodes[-1], settings.value_bytes))
        return Load(settings)

    monkeypatch.setattr(campaign, "_proxied", noted)
    monkeypatch.setattr(campaign, "CheckedLoad", load)
    campaign.run(0.001, Plan(seed, Path("unused"), Mixture(only)))
    return seen[0]


def test_the_seed_draws_rounds_of_short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {seed: short_logs.are_drawn(seed, 1) for seed in range(40)}
    assert 10 < sum(drawn.values()) < 30
    short, long = (next(seed for seed, is_short in drawn.items() if is_short is wanted) for wanted in (True, False))
    assert options_of(short, frozenset(), monkeypatch) == (short_logs.OPTIONS, short_logs.VALUE_BYTES)
    default = LoadSettings(endpoints=(), prefix="").value_bytes
    assert options_of(long, frozenset(), monkeypatch) == ({}, default)
    assert options_of(long, frozenset([FALL_BEHIND]), monkeypatch)[0] == short_logs.OPTIONS


def test_nodes_fall_behind_only_where_logs_are_short(tmp_path: Path) -> None:
    network: Any = SimpleNamespace(missing={}, wires=[])
    only = Mixture(frozenset([FALL_BEHIND]))
    Nemesis(LocalCluster(tmp_path, 3, options=short_logs.OPTIONS), network, {}, None, random.Random(1), only)
    with pytest.raises(NoSuchFault, match="no such faults here: fall_behind"):
        Nemesis(LocalCluster(tmp_path, 3), network, {}, None, random.Random(1), only)


def test_replicas_are_compared_when_nothing_is_left_to_be_compacted() -> None:
    steps = [(5_000, 3_000, 90), (5_000, 3_901, 91), (5_000, 3_902, 92), (5_000, 4_000, 93)]
    asked: list[tuple[int, int, int]] = []

    def status() -> dict[str, SimpleNamespace | None]:
        asked.append(steps[min(len(asked), len(steps) - 1)])
        revision, compacted, applied = asked[-1]
        told = SimpleNamespace(revision=revision, compacted_revision=compacted, last_applied=applied)
        return {"node-1": told, "node-2": None}

    cluster: Any = SimpleNamespace(status=status)
    short_logs.settle(cluster)
    assert asked[-2:] == [steps[-1]] * 2  # and it stood still there for a while


def test_only_the_first_violations_are_told_and_all_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for number in range(30):
        tally.violate(f"number {number}")
    assert len(capsys.readouterr().out.splitlines()) == campaign.SHOWN_MAX
    assert tally.line().endswith("violations=30")
