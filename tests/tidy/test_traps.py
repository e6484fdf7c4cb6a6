"""The table of traps in tests/README.md is true: each test that a row names says that it shows that trap."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TRAPS = 65
NUMBER = r"\d+a?"
ROW = re.compile(rf"^\| ((?:{NUMBER}(?:, |-)?)+) \| .* \| (.*) \|$", re.MULTILINE)
LABEL = re.compile(rf"\btraps? ((?:{NUMBER}(?:, | and )?)+)", re.IGNORECASE)


def numbers(text: str) -> Iterator[str]:
    """Those of a list such as ``26, 27`` or ``43-46``."""
    for first, last in re.findall(rf"({NUMBER})(?:-(\d+))?", text):
        yield from map(str, range(int(first), int(last) + 1)) if last else [first]


def files(cell: str) -> Iterator[Path]:
    """What stands in backquotes in the last column: a path below ``tests``, or a name beside the one before."""
    folder = TESTS
    for name in re.findall(r"`([^`]+)`", cell):
        path = (TESTS if "/" in name else folder) / name
        folder = path.parent
        yield path


def labels(path: Path) -> set[str]:
    """The traps that a test says that it shows: a file, or all those of a folder."""
    texts = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(end) for end in (".py", ".txt")]
    found = [text.read_text(encoding="utf-8") for text in texts if text.is_file()]
    return {number for text in found for several in LABEL.findall(text) for number in numbers(several)}


ROWS = [(list(numbers(row)), cell) for row, cell in ROW.findall((TESTS / "README.md").read_text(encoding="utf-8"))]


def test_each_trap_has_one_row() -> None:
    listed = sorted(number for row, _ in ROWS for number in row)
    assert listed == sorted([*map(str, range(1, TRAPS + 1)), "30a"])


@pytest.mark.parametrize(("row", "cell"), ROWS, ids=[", ".join(row) for row, _ in ROWS])
def test_what_a_row_names_has_its_number(row: list[str], cell: str) -> None:
    if cell.startswith("does not apply"):
        return
    missing = [
        f"{path.relative_to(TESTS)}: trap {number}"
        for path in files(cell)
        for number in row
        if number not in labels(path)
    ]
    assert not missing, "add the number to the comment of the test that shows it, or mend the row"
