"""The core's behaviour as golden scripts: each line that it says is known, in its order.

The scenarios are those of etcd-io/raft's testdata that apply to what there is, told anew. After a change that is meant,
``python -m tests.conformance.test_scripts`` writes what the scripts say now: read the difference before you keep it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from tests.conformance.stage import Stage
from zraft.core import replication

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))
CUT = "----"


class Scene(NamedTuple):
    """A command with what stands before it, and what is expected of it."""

    remarks: list[str]
    command: list[str]
    expected: list[str]


def scenes(text: str) -> Iterator[Scene]:
    """The scenes of a script: an empty line ends each of them."""
    remarks: list[str] = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        command = [line for line in lines if not line.startswith("#")]
        remarks += [line for line in lines if line.startswith("#")]
        if not command:
            remarks.append("")
            continue
        cut = command.index(CUT)
        yield Scene(remarks, command[:cut], command[cut + 1 :])
        remarks = []


def play(text: str) -> str:
    """The script as it goes now."""
    stage = Stage()
    blocks = []
    # News of a commit leaves at once here: how long it may wait for company has tests of its own.
    with patch.object(replication, "COMMIT_SECONDS", 0.0):
        for remarks, (command, *lines), _ in scenes(text):
            blocks.append("\n".join([*remarks, command, *lines, CUT, *stage.play(command, lines)]))
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_goes_as_it_is_written(script: Path) -> None:
    text = script.read_text()
    assert play(text) == text


def test_no_scene_is_left_out() -> None:
    assert {script.stem for script in SCRIPTS} >= {"pipelined_writes", "overwritten_while_being_written"}
    assert all(len(list(scenes(script.read_text()))) >= 3 for script in SCRIPTS)


def test_the_table_names_each_script_and_no_other() -> None:
    rows = (SCRIPTS[0].parent / "README.md").read_text().partition("|---|---|\n")[2]
    ours = [line.rpartition(" | ")[2] if line.startswith("|") else line for line in rows.splitlines()]
    named = {name for line in ours for name in re.findall(r"`(\w+)`", line)}
    assert named == {script.stem for script in SCRIPTS}


if __name__ == "__main__":
    for script in SCRIPTS:
        script.write_text(play(script.read_text()))
