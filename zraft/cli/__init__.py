"""The ``zraft`` command. A command's module is loaded when the command is used, so that each starts fast."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from zraft.cli.outcomes import MEANINGS, exit_code_of
from zraft.version import __version__

_COMMANDS = {
    "bench": "bench.bench",
    "check": "check.check",
    "compact": "compact.compact",
    "delete": "kv.delete",
    "dev": "dev.dev",
    "get": "kv.get",
    "health": "health.health",
    "member": "member.member",
    "leader": "leader.leader",
    "node": "node.node",
    "put": "kv.put",
    "range": "ranges.range_of_keys",
    "repair": "repair.repair",
    "snapshot": "snapshot.snapshot",
    "status": "status.status",
    "top": "top.top",
    "verify": "verify.verify",
}
"""Where each command stands."""

_ELSEWHERE = {
    **dict.fromkeys(("del", "rm", "unset"), "delete"),
    **dict.fromkeys(("keys", "list", "ls", "scan"), "range"),
    **dict.fromkeys(("backup", "restore"), "snapshot"),
    "set": "put",
    "members": "member list",
    "move-leader": "leader transfer",
    "endpoint": "status",
    "benchmark": "bench",
    "help": "--help",
    "version": "--version",
}
"""What others call a command, and what it is called here."""

_NOT_YET = {
    "watch": "watches",
    "txn": "transactions",
    "lease": "leases",
    "lock": "locks",
    "elect": "elections",
    **dict.fromkeys(("auth", "role", "user"), "users and permissions"),
}
"""What others have a command for, and zraft has not."""

_HELP = f"""
A replicated, linearizable key-value store.

Keys and values are bytes. In JSON they are text where they are UTF-8, and else an object of one field, such as
{{"base64": "/4A="}}; tables show other bytes as \\x.., and cut what is long. Errors are one line on stderr.

What prints what it found takes --output: table is for people (a sentence where there is but one fact), json is one
document on stdout, and raw, where there is one, bytes as they are. The id of a member, member_id, is 16 hex digits.

\b
Exit codes:
{chr(10).join(f"  {code:<3}  {meaning}" for code, meaning in MEANINGS.items())}
"""


class _Commands(click.Group):
    """The commands by name, and their errors as exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(importlib.import_module(f"zraft.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; one of another store's names is answered with ours, or with what is missing."""
        if args and (name := _ELSEWHERE.get(args[0])):
            ctx.fail(f"No such command {args[0]!r}: it is called {name} here.")
        if args and (what := _NOT_YET.get(args[0])):
            ctx.fail(f"No such command {args[0]!r}: zraft has no {what} yet.")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command line and exits: see ``zraft.cli.outcomes``."""
        sys.exit(exit_code_of(lambda: super(_Commands, self).main(*args, **kwargs | {"standalone_mode": False})))


@click.group(cls=_Commands, help=_HELP)
@click.version_option(__version__, message="%(prog)s %(version)s")
def zraft() -> None:
    """The whole command line."""


def main() -> None:
    """The console script."""
    _open_standard_streams()
    zraft(prog_name="zraft")


def _open_standard_streams() -> None:
    """Where the caller closed a standard stream, open one that can be neither read nor written, as a closed one can't.

    Otherwise the next file or socket would get its number, and what is printed would go there. Log lines and errors
    are not what a command is for: those of a closed stderr go nowhere.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    # Unbuffered: what can't be written is an error of the command then, and not of Python at its end.
    sys.stdout = sys.stdout or io.TextIOWrapper(os.fdopen(1, "wb", 0, closefd=False), write_through=True)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
