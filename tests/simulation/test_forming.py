"""Formation under loss, restarts, wiped disks and doubled names."""

from functools import partial

import pytest

from tests.simulation.forming import Forming
from tests.simulation.world import World

pytestmark = pytest.mark.simulation

NAMES = ("a", "b", "c")
LISTS = dict.fromkeys(NAMES, NAMES)


@pytest.mark.parametrize("seed", range(20))
def test_nodes_that_start_and_restart_at_any_time_form_one_cluster(seed: int) -> None:
    world = World(seed)
    forming = Forming(world, LISTS, loss=0.3)
    for node in forming.nodes.values():
        for _ in range(3):
            world.at(world.between(0, 2), node.start)
    world.run_until(6)
    records = {node.formed for node in forming.nodes.values()}
    assert len(records) == 1
    assert None not in records


@pytest.mark.parametrize("seed", range(20))
def test_a_wiped_disk_never_forms_a_second_cluster(seed: int) -> None:  # trap 36
    world = World(seed)
    forming = Forming(world, LISTS, loss=0.1)
    for node in forming.nodes.values():
        world.at(world.between(0, 0.5), node.start)
    world.run_until(3)
    first = forming.nodes["a"].formed
    assert first is not None
    wiped = [forming.nodes[name] for name in world.random.sample(NAMES, world.random.randint(1, 2))]
    for node in wiped:
        world.after(world.between(0, 0.1), partial(node.wipe, forming.new_member()))
    for node in forming.nodes.values():
        if node not in wiped and world.chance(0.3):
            node.stop()  # cut off: it can't warn the others
    world.run_until(10)
    assert [node.formed for node in wiped] == [None] * len(wiped)


@pytest.mark.parametrize("seed", range(20))
def test_of_two_nodes_with_one_name_at_most_one_takes_part(seed: int) -> None:
    # That no node forms unless all members stored the same record is checked at each step.
    world = World(seed)
    forming = Forming(world, LISTS, loss=0.1)
    twin = forming.add_twin("c")
    for node in (*forming.nodes.values(), twin):
        world.at(world.between(0, 0.5), node.start)
    world.run_until(8)
    assert None in (twin.formed, forming.nodes["c"].formed)
    for node in (twin, forming.nodes["c"]):
        assert node.formed or node.notice


def test_different_lists_form_nothing() -> None:
    world = World(1)
    forming = Forming(world, {"a": NAMES, "b": NAMES, "c": ("b", "c")}, loss=0.0)
    for node in forming.nodes.values():
        node.start()
    world.run_until(5)
    assert [node.formed for node in forming.nodes.values()] == [None] * 3
    told = "c was started with the members b, c, a with a, b, c: start all of them with the same list"
    assert forming.nodes["a"].notice == told
