"""The runbook names only commands, flags, targets, settings and places that there are."""

import re

import click
import pytest

from tests.deploy.documents import DEPLOY, ROOT, base, compose, of_kind, text
from zraft.cli import zraft
from zraft.config import Settings

RUNBOOK = text(DEPLOY / "README.md")
README = text(ROOT / "README.md")
BLOCKS = "\n".join(re.findall(r"^```console\n(.*?)^```", RUNBOOK, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", text(ROOT / "Makefile"), re.MULTILINE))
NODE = r"(?:node-\d|\$node)"


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words begin with, and what follows it."""
    command: click.Command = zraft
    while isinstance(command, click.Group):
        context = click.Context(command)
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    return command, words


def command_lines() -> list[str]:
    """What is given to zraft: on the host, in a container that runs, and in one that is started for it."""
    found = re.findall(r"(?<!namespace )(?:\bzraft|exec \S+ zraft) ((?:[a-z]+ ?)+.*?)(?:\n|$|`)", BLOCKS + RUNBOOK)
    started = re.findall(rf"run --rm[^\n]*? {NODE}\s+((?:check|repair|snapshot)[^\n]*)", BLOCKS)
    return [line for line in found if line.split()[0] in zraft.list_commands(click.Context(zraft))] + started


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_commands_and_their_flags_exist(line: str) -> None:
    words = re.split(r"\s+", re.split(r"\s[#|]|[;>]", line)[0].strip())
    command, rest = command_of(words)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("--")} <= known | {"--help"}


def test_there_is_something_to_check() -> None:
    assert len(command_lines()) > 15


def test_targets_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", RUNBOOK + README))
    assert named <= TARGETS | {"alone"}
    assert {"deploy", "status", "logs", "clean-k8s", "docker-build", "dashboard-check"} <= named


def test_settings_exist() -> None:
    flags = set(re.findall(r"`--([a-z-]+)", RUNBOOK))
    known = {name.replace("_", "-") for name in Settings.__struct_fields__}
    assert flags <= known | {"bump-revision", "peers", "id"}


def test_files_and_headings_that_are_linked_exist() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        file, _, anchor = target.partition("#")
        if file:
            assert (DEPLOY / file).resolve().exists(), target
        else:
            assert anchor in anchors, target


def test_what_the_kubectl_commands_name_exists() -> None:
    found = base()
    assert of_kind(found, "StatefulSet", "zraft")
    names = {f"zraft-{number}" for number in range(3)}
    assert set(re.findall(r"\bpod (zraft-\d)", BLOCKS)) <= names
    (claim,) = of_kind(found, "StatefulSet", "zraft")["spec"]["volumeClaimTemplates"]
    assert set(re.findall(r"`(data)-zraft-\d`", RUNBOOK)) == {claim["metadata"]["name"]}
    services = set(re.findall(rf"(?:compose\.yaml|compose) [a-z]+ [^\n]*?({NODE})\b", BLOCKS)) - {"$node"}
    assert services <= compose()["services"].keys()
