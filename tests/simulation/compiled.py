"""The core and the simulator as machine code, made by mypyc from the sources as they are: the same runs, twice as fast.

For campaigns alone, where a C compiler is at hand: ``python -m tests.simulation --compiled --minutes 60``. What nodes
run is interpreted; that both do the same, step by step, is what ``test_compiled`` is for.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("zraft", "tests", "setup.cfg")
PACKAGES = ("zraft/core", "tests/simulation")
INTERPRETED = {"effects.py", "run.py", "campaign.py", "describe.py", "compiled.py", "__main__.py"}
"""Messages and reports: mypyc knows no generic classes that are taken apart at run time; and what starts processes.

It doesn't know frozen structs either: in compiled modules they could be changed, which the interpreted ones, that every
test runs, would not let pass.
"""
SETTINGS = """[mypy]
python_version = 3.11
mypy_path = .
explicit_package_bases = True
"""


def compile_to(directory: Path) -> None:
    """Make a copy of the tree in ``directory``, compiled; it takes two or three minutes.

    Raises:
        RuntimeError: the compiler refuses, or there is none; the message is its own.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, directory / name)
    (directory / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", "--config-file", "mypy.ini", *sources()],
        cwd=directory,
        env=environment(directory) | {"MYPYC_OPT_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the simulator could not be compiled:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def environment(directory: Path) -> dict[str, str]:
    """For a process that is to see the tree in ``directory``, and no other."""
    return os.environ | {"PYTHONPATH": str(directory)}


def sources() -> list[str]:
    """The modules to compile, as paths from the root."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.py"))]
    chosen = [path for path in files if path.name not in INTERPRETED and not path.name.startswith(("test_", "__"))]
    return [str(path.relative_to(ROOT)) for path in chosen]
