"""Running command lines within the test's process, against scripted nodes."""

import os
from typing import Protocol

from click.testing import CliRunner, Result

from tests.wire.scripted import Script, ScriptedNode
from zraft.cli import zraft
from zraft.protocol.responses import Response

ANSWERED_S = 30.0
"""For a command that is answered at once, on whatever machine."""
UNANSWERED_S = 0.3
"""For a command whose time is to run out."""


class Serve(Protocol):
    """Starts a node that answers everything with one response, or as a script says."""

    def __call__(self, response: Response | Script) -> ScriptedNode: ...


def run(*arguments: str | bytes, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(zraft, [os.fsdecode(one) for one in arguments], input=stdin)


def ask(node: ScriptedNode, *arguments: str | bytes, stdin: bytes = b"", timeout: float = ANSWERED_S) -> Result:
    options = ("--endpoints", node.endpoint, "--timeout", str(timeout))
    return run(arguments[0], *options, *arguments[1:], stdin=stdin)
