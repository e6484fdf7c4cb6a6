"""What is taken for a number by the command line, and what is said of other words."""

import json
from collections.abc import Iterator

import click
import pytest

from tests.cli.asking import Serve, ask, run
from tools import cli_reference
from zraft.core.limits import REVISION_MAX
from zraft.protocol.requests import Compact, Put
from zraft.protocol.responses import CompactResult, GetResult, PutResult


def of_kind(kind: type[click.ParamType[object]]) -> Iterator[tuple[click.Context, click.Parameter]]:
    for context in cli_reference.commands():
        for parameter in context.command.params:
            if isinstance(parameter.type, kind):
                yield context, parameter


def refusal(parameter: click.Parameter, context: click.Context, word: str) -> str:
    with pytest.raises(click.BadParameter) as raised:
        parameter.type.convert(word, parameter, context)
    return raised.value.message


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "inf", "-inf"])
def test_no_option_takes_what_is_no_number(word: str) -> None:
    """NaN passes all comparisons with bounds: a wait that never ends, JSON that is none."""
    found = list(of_kind(click.FloatRange)) + list(of_kind(click.types.FloatParamType))
    assert {context.info_name for context, _ in found} >= {"bench", "add", "replace", "top", "verify", "get"}
    for context, parameter in found:
        assert refusal(parameter, context, word), (context.command_path, parameter.name)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--seconds", "nan"),
        ("verify", "--timeout", "nan"),
        ("top", "--once", "--interval", "nan"),
        ("member", "add", "n9", "127.0.0.1:7080", "--within", "nan"),
        ("bench", "--read-ratio", "nan"),
        ("get", "k", "--timeout", "nan"),
    ],
)
def test_nan_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"zraft: Invalid value for '{arguments[-2]}': 'nan' is not a valid number.")


def test_a_word_is_no_number_and_a_range_is_no_kind_of_number() -> None:
    found = [*of_kind(click.IntRange), *of_kind(click.FloatRange)]
    assert found
    for context, parameter in found:
        assert refusal(parameter, context, "abc") in ("'abc' is not a valid integer.", "'abc' is not a valid number.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "k", "v", "--expected-revision"),
        ("delete", "k", "--expected-revision"),
        ("get", "k", "--revision"),
        ("range", "--revision"),
        ("compact",),
    ],
)
def test_a_revision_that_the_wire_can_not_carry_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, str(REVISION_MAX + 1))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"<={REVISION_MAX}. See `zraft {arguments[0]} --help`." in result.stderr


def test_the_highest_revision_is_one(serve: Serve) -> None:
    node = serve(PutResult(success=True, error=None, index=7, revision=3, mod_revision=3))
    assert ask(node, "put", "k", "v", "--expected-revision", str(REVISION_MAX)).exit_code == 0
    reader = serve(GetResult(True, b"v", None, REVISION_MAX, REVISION_MAX, REVISION_MAX, 1))
    result = ask(reader, "get", "k", "--revision", str(REVISION_MAX), "--output", "json")
    assert json.loads(result.stdout)["mod_revision"] == REVISION_MAX
    compacted = serve(CompactResult(7, REVISION_MAX, REVISION_MAX, 20))
    assert ask(compacted, "compact", str(REVISION_MAX)).exit_code == 0
    assert (node.requests, compacted.requests) == ([Put(b"k", b"v", REVISION_MAX)], [Compact(REVISION_MAX)])
