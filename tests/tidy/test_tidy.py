"""Style as a test: the budgets, names and rules that a reader may rely on in every file of the tree."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
TIDY = Path(__file__).resolve().parent

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CONSTRUCTOR_ARGUMENTS_MAX = 8

NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "misc"}

# Found in a fresh clone: neither a node's data nor anything that a tool left here.
UNTRACKED = {"build", "dist", "zraft-data", "__pycache__"}
TRACKED_HIDDEN = {".ci", ".dockerignore", ".editorconfig", ".github", ".gitignore", ".ruff.toml"}

# The safety rules, each by what it protects. Each is named where it is enforced and where it is shown.
SAFETY_RULES = {
    "S1": "no two trios of actors act on one directory",
    "S2": "an acknowledgement covers what the Append carried, never the log's last index",
    "S3": "nothing is applied that was not verified in the leader's term",
    "S4": "a leader reads its log only in its own term",
    "S5": "only entries of the leader's own term are counted for commit",
    "S6": "a copy counts when its storage has answered, the leader's own too",
    "S7": "the promise: what an election actor granted, it never takes back",
    "S8": "before a leader hands over it gives up its lease, only its ballot by-passes stickiness",
    "S9": "a proposal is made at most once, in the term that it names",
    "S10": "a commit index is on the page before anyone is told",
    "S11": "one revision per command that changed a key, in batch order",
    "S12": "a read under a lease looks at lease and commit index, then at the clock, after it has arrived",
    "S13": "after a failed fsync of the log nothing is answered until an operator acts",
    "S14": "members change by one, upon a change that is committed and counted, in a term that has committed",
}
RULES_ENFORCED_IN = ("core", "actors", "store")

READ_IN_ORDER = ("protocol", "core", "store", "actors", "client")

LOADED_ON_DEMAND = ("click", "lmdb", "prometheus_client")

# Directories of a developer's machine; written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|tmp/bash[_]jobs)(?![\w-])")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*tops: str) -> list[Path]:
    files = sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))
    if not files:
        fail(f"no Python file under {' or '.join(tops)}: this test looks in the wrong place, mend its paths")
    return files


def tracked_files(directory: Path = ROOT) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        name = path.name
        if name in UNTRACKED or name.endswith(".egg-info") or (name.startswith(".") and name not in TRACKED_HIDDEN):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from tracked_files(path)
        elif path.is_file():
            yield path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def at(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def fail(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


def require_none(found: list[str], what_to_do: str) -> None:
    if found:
        fail("\n  ".join([f"{what_to_do}:", *found]))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, Function))


def test_modules_are_within_budget() -> None:
    found = []
    for path in python_files("zraft", "tests", "tools"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_LINES_MAX:
            found.append(f"{at(path)} has {lines} lines")
    require_none(found, f"a module has at most {MODULE_LINES_MAX} lines; split it by concept")


def test_functions_are_within_budget() -> None:
    found = []
    for path in python_files("zraft", "tests", "tools"):
        for function in functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{at(path, function.lineno)} {function.name} has {lines} lines")
    require_none(found, f"a function has at most {FUNCTION_LINES_MAX} lines; give its parts names")


def test_constructors_are_within_budget() -> None:
    found = []
    for path in python_files("zraft", "tests", "tools"):
        for function in functions(path):
            if function.name != "__init__":
                continue
            given = function.args
            arguments = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - 1
            arguments += (given.vararg is not None) + (given.kwarg is not None)
            if arguments > CONSTRUCTOR_ARGUMENTS_MAX:
                found.append(f"{at(path, function.lineno)} __init__ takes {arguments} arguments")
    require_none(
        found, f"a constructor takes at most {CONSTRUCTOR_ARGUMENTS_MAX} arguments; pass a validated settings Struct"
    )


def test_names_say_what_is_inside() -> None:
    found = []
    for path in python_files("zraft", "tests", "tools"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if NAMES_THAT_SAY_NOTHING.intersection(part.strip("_") for part in parts):
            found.append(at(path))
    require_none(found, "a module or folder is named by the one concept that it holds; rename it, or split it")


@pytest.mark.parametrize("part", READ_IN_ORDER)
def test_each_module_has_its_place_in_the_reading_order(part: str) -> None:
    text = (ROOT / "zraft" / "README.md").read_text(encoding="utf-8")
    order = text.partition("## Reading order\n")[2].partition("\n## ")[0]
    modules = [path for path in python_files(f"zraft/{part}") if path.stem != "__init__"]
    found = [at(path) for path in modules if f"`{path.stem}`" not in order]
    require_none(found, "zraft/README.md tells in its reading order where each module is read; name these there")


def test_invariants_survive_optimization() -> None:
    found = [
        at(path, node.lineno)
        for path in python_files("zraft")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assert)
    ]
    require_none(found, "python -O removes assert statements; raise InvariantViolated (or a typed error) instead")


def public_without_docstring(path: Path) -> Iterator[str]:
    def missing(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, Function | ast.ClassDef) or child.name.startswith("_"):
                continue
            is_overload = any(ast.unparse(decorator).endswith("overload") for decorator in child.decorator_list)
            if ast.get_docstring(child) is None and not is_overload:
                yield f"{at(path, child.lineno)} {prefix}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from missing(child, f"{prefix}{child.name}.")

    tree = tree_of(path)
    if ast.get_docstring(tree) is None:
        yield f"{at(path)} the module"
    yield from missing(tree, "")


def test_what_is_public_is_documented() -> None:
    found = [line for path in python_files("zraft") for line in public_without_docstring(path)]
    require_none(found, "public modules, classes and functions have a docstring: meaning, units, errors")


def names(rule: str, text: str) -> bool:
    """Whether the text names this very rule; a range such as S1..S14 or S1-S14 names none."""
    return re.search(rf"(?<![\w.-]){rule}(?![\w-]|\.\.)", text) is not None


@pytest.mark.parametrize("rule", SAFETY_RULES)
def test_safety_rule_is_enforced(rule: str) -> None:
    files = python_files(*(f"zraft/{part}" for part in RULES_ENFORCED_IN))
    if not any(names(rule, path.read_text(encoding="utf-8")) for path in files):
        fail(
            f"no module of zraft/{{{','.join(RULES_ENFORCED_IN)}}} names {rule} ({SAFETY_RULES[rule]}): "
            "name it in the docstring or comment of the code that enforces it"
        )


@pytest.mark.parametrize("rule", SAFETY_RULES)
def test_safety_rule_is_shown(rule: str) -> None:
    files = [path for path in python_files("tests") if TIDY not in path.parents]
    if not any(names(rule, path.read_text(encoding="utf-8")) for path in files):
        fail(f"no test names {rule} ({SAFETY_RULES[rule]}): write one that fails without the rule, and name it there")


@pytest.mark.parametrize("rule", SAFETY_RULES)
def test_safety_rule_has_a_mutant(rule: str) -> None:
    if not any(names(rule, mutant.rule) for mutant in MUTANTS):
        fail(f"no mutant removes {rule} ({SAFETY_RULES[rule]}): add one to tests/mutants, which must be found")


def test_no_safety_rule_is_forgotten() -> None:
    expected = {f"S{number}" for number in range(1, 15)}
    if SAFETY_RULES.keys() != expected:
        fail("S1 to S14, and no other rule, stand in the table of this module: add the missing one")


def test_no_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{at(path, number)} {line.strip()}")
    require_none(found, "these paths exist on one machine only; make them relative, or an option")


def test_import_is_light() -> None:
    """A client does not pay for the node: a store, a command line and a metrics library."""
    script = f"import sys, zraft; print(*sorted(sys.modules.keys() & set({LOADED_ON_DEMAND!r})))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        fail(f"`import zraft` failed:\n{result.stderr}")
    if loaded := result.stdout.split():
        fail(f"`import zraft` loads {', '.join(loaded)}: import it where it is used, inside the function")
