"""``python -m tests.mutants``: every named defect must be found, but those that another rule covers, which must not be.

Words choose those whose names have them.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import ROOT, SECONDS_MAX, Tree, Verdict, count, hunt, unfit_tests


def main() -> int:
    """Exit code 0 when the list was right about all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="of CPU time, for each mutant")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.words or any(word in mutant.name for word in options.words)]
    started = time.monotonic()
    verdicts: list[Verdict] = []
    # Copied once, so that all are hunted in the same tree though somebody goes on working here.
    with Tree(ROOT) as original, ThreadPoolExecutor(options.processes) as pool:
        if fault := unfit_tests(original, chosen):
            print(f"{fault}\nthe named tests must pass before they can find anything")
            return 1
        for done in as_completed([pool.submit(hunt, original, mutant, options.seconds) for mutant in chosen]):
            verdict = done.result()
            verdicts.append(verdict)
            covered = f" (covered: {verdict.mutant.covered_by})" if verdict.mutant.covered_by else ""
            print(f"{verdict.mutant.name:<50} {verdict.words}{covered}", flush=True)
    for verdict in verdicts:
        if not verdict.as_listed:
            print(f"{_why_wrong(verdict)}: {verdict.mutant.name}: {verdict.mutant.rule}: {verdict.words}")
    found, counted = count(verdicts)
    print(f"{time.monotonic() - started:.0f} s, {len(chosen) - counted} equivalent to no change, which are not counted")
    print(f"mutants found={found} all={counted}")
    return 0 if found == counted else 1


def _why_wrong(verdict: Verdict) -> str:
    if not verdict.mutant.covered_by:
        return "NOT FOUND"
    return "FOUND, so covered_by is wrong" if verdict.found else "NOT HUNTED"


if __name__ == "__main__":
    sys.exit(main())
