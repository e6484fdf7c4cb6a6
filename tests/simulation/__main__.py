"""``python -m tests.simulation``: replay one run, or look for trouble in as many as time allows."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from tests.simulation.campaign import DIRECTORY, Campaign, state_path
from tests.simulation.compiled import compile_to, environment
from tests.simulation.run import Failure, play, run
from tests.simulation.world import World


def main() -> int:
    """Exit code 0: no rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="replay one run and print its trace")
    what.add_argument("--minutes", type=float, help="a campaign over all cores, added to those before it")
    what.add_argument("--hunt", type=int, metavar="N", help="seeds 1..N, one after the other, up to the first failure")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of a hunt at most, of CPU time")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--compiled", action="store_true", help="a campaign of machine code: needs a C compiler, is twice as fast"
    )
    parser.add_argument("--totals", type=Path, default=state_path(), help="where a campaign keeps what it has come to")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    if options.hunt is not None:
        return hunt(options.hunt, options.seconds)
    if options.compiled:
        compiled_campaign(options.minutes, options.processes, options.totals)
    return Campaign(options.totals, options.processes).run(options.minutes * 60)


def compiled_campaign(minutes: float, processes: int, totals: Path) -> NoReturn:
    """The same campaign in a compiled copy of this tree, which is made first; this process becomes it."""
    copy = DIRECTORY / "compiled"
    compile_to(copy)
    options = ["--minutes", str(minutes), "--processes", str(processes), "--totals", str(totals.resolve())]
    command = [sys.executable, "-m", "tests.simulation", *options]
    os.chdir(copy)
    os.execve(command[0], command, environment(copy))


def replay(seed: int) -> int:
    """One run, told line by line."""
    world = World(seed)
    try:
        report = play(world, lines=0)
    except Failure as failure:
        print("\n".join(world.trace()), failure, sep="\n")
        return 1
    print("\n".join(world.trace()), report, sep="\n")
    return 0


def hunt(seeds: int, seconds: float) -> int:
    """Look for a failure: the last line says what was found, and after how many seeds."""
    end = time.process_time() + seconds  # what else the machine does is not to decide what is found
    for seed in range(1, seeds + 1):
        try:
            run(seed)
        except Failure as failure:
            print(failure)
            print(f"found after {seed} seeds by {failure.rule}")
            return 1
        if time.process_time() > end:
            break
    print(f"nothing was found after {seed} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
