"""The page of the command line, made from the commands' own help, so that it can't be wrong: ``make docs``.

python tools/cli_reference.py --write    zraft/cli/README.md anew
python tools/cli_reference.py --check    fails if it is not as it would be written
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from zraft.cli import zraft
from zraft.cli.manual import Manual
from zraft.cli.outcomes import MEANINGS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "zraft" / "cli" / "README.md"

HEAD = """\
# The command line

Made from `zraft --help` and the help of each command by `make docs`; don't edit it.
"""


def page() -> str:
    """The whole page, as it should stand."""
    general = (zraft.help or "").partition("\b")[0]
    codes = [(f"{code}", meaning) for code, meaning in MEANINGS.items()]
    parts = [HEAD, _text(general), _table(("exit code", "meaning"), codes)]
    for context in commands():
        parts += _section(context)
    return "\n".join(parts)


def commands() -> Iterator[click.Context]:
    """All commands, each group before those in it."""
    return _below(click.Context(zraft, info_name="zraft"))


def _below(group: click.Context) -> Iterator[click.Context]:
    if not isinstance(group.command, click.Group):
        return
    for name in group.command.list_commands(group):
        command = group.command.get_command(group, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=group)
            yield context
            yield from _below(context)


def _section(context: click.Context) -> Iterator[str]:
    command = context.command
    arguments = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield f"## `{' '.join([context.command_path, *arguments])}`\n"
    yield _text(command.help or "")
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and "--help" not in one.opts]
    records = [record for option in options if (record := option.get_help_record(context))]
    if records:
        yield _table(("option", "meaning"), [(f"`{names}`", _text(meaning).strip()) for names, meaning in records])
    if command.epilog:
        yield _text(command.epilog)
    if isinstance(command, Manual):
        if command.examples:
            yield "\n".join(["```console", *(f"$ {example}" for example in command.examples), "```\n"])
        yield f"Exit codes: {', '.join(map(str, command.ends))}.\n"


def _text(text: str) -> str:
    """Help for a terminal as a paragraph of Markdown."""
    return re.sub(r"<(?=[a-zA-Z])", r"\<", re.sub(r" {2,}", " ", inspect.cleandoc(text))) + "\n"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Writes the page, or fails if it is not as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="zraft/cli/README.md anew")
    action.add_argument("--check", action="store_true", help="fail if it is not as it would be written")
    options = parser.parse_args()
    text = page()
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is stale: make docs")


if __name__ == "__main__":
    main()
