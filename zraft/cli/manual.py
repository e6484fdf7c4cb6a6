"""Commands whose help is a page of a manual: what one does, its options, examples, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from zraft.cli.outcomes import DONE, MEANINGS, USAGE


class Manual(click.Command):
    """A command with examples and exit codes.

    Args:
        examples: command lines, each perhaps with a comment behind `` # ``.
        ends: the exit codes that it has a reason for, besides 0 and 2.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), ends: Sequence[int] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = _aligned(examples)
        self.ends = tuple(sorted({DONE, USAGE, *ends}))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what stands below the options."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), MEANINGS[code]) for code in self.ends])


def _aligned(examples: Sequence[str]) -> list[str]:
    """The examples with their comments in one column."""
    parts = [example.partition(" # ") for example in examples]
    width = max((len(command) for command, mark, _ in parts if mark), default=0)
    return [f"{command:<{width}}  # {comment}" if mark else command for command, mark, comment in parts]


class ManualGroup(click.Group):
    """A group of such commands."""

    command_class = Manual
