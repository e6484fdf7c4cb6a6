"""``python -m tests.mutants``: every named defect must be found; words choose those whose names have them."""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import ROOT, SECONDS_MAX, Tree, Verdict, hunt, unfit_tests


def main() -> int:
    """Exit code 0 when all were found."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="of CPU time, for each mutant")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.words or any(word in mutant.name for word in options.words)]
    alive = [mutant for mutant in chosen if not mutant.covered_by]
    for mutant in chosen:
        if mutant.covered_by:
            print(f"{mutant.name:<50} covered: {mutant.covered_by}")
    started = time.monotonic()
    verdicts: list[Verdict] = []
    # Copied once, so that all are hunted in the same tree though somebody goes on working here.
    with Tree(ROOT) as original, ThreadPoolExecutor(options.processes) as pool:
        if fault := unfit_tests(original, alive):
            print(f"{fault}\nthe named tests must pass before they can find anything")
            return 1
        for done in as_completed([pool.submit(hunt, original, mutant, options.seconds) for mutant in alive]):
            verdict = done.result()
            verdicts.append(verdict)
            print(f"{verdict.mutant.name:<50} {verdict.words}", flush=True)
    for verdict in verdicts:
        if not verdict.found:
            print(f"NOT FOUND: {verdict.mutant.name}: {verdict.mutant.rule}: {verdict.words}")
    print(
        f"{time.monotonic() - started:.0f} s, {len(chosen) - len(alive)} equivalent to no change, which are not counted"
    )
    found = sum(verdict.found for verdict in verdicts)
    print(f"mutants found={found} all={len(alive)}")
    return 0 if found == len(alive) else 1


if __name__ == "__main__":
    sys.exit(main())
