"""The ``zraft`` command. A command's module is loaded when the command is used, so that each starts fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from zraft import __version__
from zraft.cli.outcomes import exit_code_of

_MODULES = {
    "delete": "kv",
    "dev": "dev",
    "get": "kv",
    "node": "node",
    "put": "kv",
    "status": "status",
}

_HELP = """
A replicated, linearizable key-value store.

\b
Exit codes:
  0  done
  1  key not found, or a precondition failed
  2  wrong usage or configuration
  3  unavailable: certainly not done
  4  outcome unknown: it may have been done
  5  rejected
"""


class _Commands(click.Group):
    """The commands by name, and their errors as exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, sorted."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(importlib.import_module(f"zraft.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command line and exits: see ``zraft.cli.outcomes``."""
        sys.exit(exit_code_of(lambda: super(_Commands, self).main(*args, **kwargs | {"standalone_mode": False})))


@click.group(cls=_Commands, help=_HELP)
@click.version_option(__version__, message="%(prog)s %(version)s")
def zraft() -> None:
    """The whole command line."""


def main() -> None:
    """The console script."""
    zraft(prog_name="zraft")
