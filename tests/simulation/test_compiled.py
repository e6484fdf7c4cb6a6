"""A campaign of the compiled simulator is worth as much as one of the interpreted: run by run they do the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import compiled
from tests.simulation.run import run

pytestmark = [pytest.mark.simulation, pytest.mark.long]

SEEDS = range(1, 41)
SCRIPT = f"""
import zraft.core.election, tests.simulation.node
assert all(module.__file__.endswith(".so") for module in (zraft.core.election, tests.simulation.node))
from tests.simulation.run import run
for seed in range({SEEDS.start}, {SEEDS.stop}):
    print(run(seed))
"""


@pytest.mark.timeout(1200)
def test_compiled_runs_are_the_interpreted_ones(tmp_path: Path) -> None:
    compiled.compile_to(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=compiled.environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(run(seed)) for seed in SEEDS]
