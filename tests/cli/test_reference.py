"""The page of the command line says what the commands say."""

import click

from tests.cli.asking import run
from tools import cli_reference
from zraft.cli import zraft
from zraft.cli.manual import Manual
from zraft.cli.outcomes import MEANINGS


def test_the_page_is_as_it_would_be_written() -> None:
    assert cli_reference.PAGE.read_text(encoding="utf-8") == cli_reference.page(), "run `make docs`"


def test_every_command_has_its_help_examples_and_ends() -> None:
    for context in cli_reference.commands():
        command = context.command
        assert command.help, context.command_path
        if isinstance(command, Manual):
            assert command.examples, context.command_path
            assert set(command.ends) <= MEANINGS.keys()
            assert all("zraft" in example for example in command.examples)


def test_no_summary_is_cut_in_a_list_of_commands() -> None:
    contexts = [click.Context(zraft, info_name="zraft"), *cli_reference.commands()]
    groups = [context.command_path for context in contexts if isinstance(context.command, click.Group)]
    assert "zraft leader" in groups
    for group in groups:
        listed = run(*group.split()[1:], "--help").stdout.partition("\nCommands:\n")[2].splitlines()
        assert listed, group
        # Each is a sentence, on one line, and whole.
        assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == [], group


def test_output_has_the_same_words_everywhere() -> None:
    """What has none runs a node, acts on processes, asks questions, or draws."""
    without = set()
    for context in cli_reference.commands():
        found = [one for one in context.command.params if one.name == "output"]
        if isinstance(context.command, Manual) and not found:
            without.add(context.command_path.removeprefix("zraft "))
        for option in found:
            assert isinstance(option.type, click.Choice)
            assert option.type.choices in (("table", "json"), ("table", "json", "raw")), context.command_path
            # A value goes to a file or into a variable as it is.
            assert option.default == ("raw" if context.info_name == "get" else "table"), context.command_path
    acts = {f"dev {name}" for name in ("down", "kill", "pause", "resume", "restart", "rolling-restart")}
    assert without == {"node", "repair", "top", *acts}


def test_every_option_says_what_it_means() -> None:
    page = cli_reference.PAGE.read_text(encoding="utf-8")
    assert "|  |" not in page
    assert page.count("## `zraft ") == len(list(cli_reference.commands()))
