"""Hunts mutants: each is applied to a copy of the tree, and the simulator, or a named test, has to find it there.

The copy is what runs, so the product has no hook for its own defects.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("zraft", "tests", "setup.cfg", "setup.py")
SECONDS_MAX = 300
"""Of CPU time for one mutant of the simulator's. Many are found in a second, and a few need many seeds."""
TIMEOUT_SECONDS = 5 * SECONDS_MAX
"""After which what runs is ended, on a busy machine, too."""
SEEDS_MAX = 5_000
SEEDS_IF_COVERED = 60
"""For one that should not be found: enough to find most of the others, and 20 seconds."""
TESTS_FAILED = 1
"""pytest's exit code; others mean that it could not do its work."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one mutant; ``words`` say after how many seeds and by what it was found, or why not.

    ``hunted``: whether it was looked for to the end; it may not fit the code, or what looks for it may break.
    """

    mutant: Mutant
    found: bool
    words: str
    hunted: bool = True

    @property
    def as_listed(self) -> bool:
        """Whether the list is right: it was found; or it was not, and ``covered_by`` says why nothing can find it."""
        return self.hunted and self.found != bool(self.mutant.covered_by)


def count(verdicts: list[Verdict]) -> tuple[int, int]:
    """(found, all): the same number only if the list is right about each.

    A mutant that is covered is in neither. One that should be, and was found, is among all, and not among the found.
    """
    counted = [verdict for verdict in verdicts if not (verdict.mutant.covered_by and verdict.as_listed)]
    return sum(verdict.as_listed for verdict in counted), len(counted)


class Tree:
    """A copy of the tree at ``source``."""

    def __init__(self, source: Path) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="zraft-mutant-")
        self.path = Path(self._temporary.name)
        for name in COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source / name, self.path / name)

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_what_was_left()
        self._temporary.cleanup()

    def python(self, *arguments: str) -> tuple[int, str]:
        """(exit code, output) of the interpreter, which sees this tree and no other."""
        environment = os.environ | {"PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired:
            return -1, "it did not end"
        return done.returncode, done.stdout + done.stderr

    def _end_what_was_left(self) -> None:
        """A test that was broken off leaves the nodes that it had started, each in a session of its own."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "cwd") == str(self.path):
                    os.kill(int(process.name), signal.SIGKILL)

    def pytest(self, *tests: str) -> tuple[int, str]:
        return self.python("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests)


def hunt(original: Tree, mutant: Mutant, seconds: float) -> Verdict:
    """Look for one mutant of ``original``, for so long at most."""
    with Tree(original.path) as tree:
        try:
            mutant.apply(tree.path)
        except ValueError as error:
            return Verdict(mutant, False, str(error), hunted=False)
        return _by_test(mutant, tree) if mutant.test else _by_simulation(mutant, tree, seconds)


def unfit_tests(original: Tree, mutants: list[Mutant]) -> str:
    """Why the named tests would prove nothing, as they don't all pass on the tree as it is; empty: they do."""
    tests = sorted({mutant.test for mutant in mutants if mutant.test})
    if not tests:
        return ""
    code, output = original.pytest(*tests)
    return output if code else ""


def _by_simulation(mutant: Mutant, tree: Tree, seconds: float) -> Verdict:
    # A fixed number of seeds, or a busy machine would decide whether ``covered_by`` is true.
    limits = [str(SEEDS_IF_COVERED)] if mutant.covered_by else [str(SEEDS_MAX), "--seconds", str(seconds)]
    code, output = tree.python("-m", "tests.simulation", "--hunt", *limits)
    last = output.strip().rpartition("\n")[2]
    found = code == 1 and last.startswith("found after")
    return Verdict(mutant, found, last, hunted=found or (code == 0 and last.startswith("nothing was found")))


def _by_test(mutant: Mutant, tree: Tree) -> Verdict:
    code, output = tree.pytest(mutant.test)
    if code != TESTS_FAILED:
        return Verdict(mutant, False, f"not found by {mutant.test} (exit code {code})", hunted=code == 0)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    found = failed is not None
    return Verdict(mutant, found, f"found by {failed.group(1) if failed else 'nothing that has a name'}", hunted=found)
