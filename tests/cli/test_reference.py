"""The page of the command line says what the commands say."""

from tools import cli_reference
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


def test_every_option_says_what_it_means() -> None:
    page = cli_reference.PAGE.read_text(encoding="utf-8")
    assert "|  |" not in page
    assert page.count("## `zraft ") == len(list(cli_reference.commands()))
