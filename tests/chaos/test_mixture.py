"""Three minutes of the campaign: all faults mixed, on real nodes, and nothing may be lost or mixed up."""

import secrets
from pathlib import Path

import pytest

from tests.chaos import campaign

pytestmark = pytest.mark.chaos

SECONDS = 180.0


@pytest.mark.timeout(900)
def test_nothing_is_lost_in_a_mixture_of_faults(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}: python -m tests.chaos.campaign --seed {seed}")
    tally = campaign.run(SECONDS, campaign.Plan(seed, tmp_path))
    print(tally.line())
    assert tally.violations == []
    assert tally.lack() == ""
    assert tally.faults.total() > 0
