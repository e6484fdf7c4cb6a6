"""The schemas and the pages of the wire protocol say what the code does."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.by_schema import FILES
from tools import schemas


def names_in(alternatives: list[Any]) -> Iterator[str]:
    for one in alternatives:
        if isinstance(one, dict):
            yield from names_in(one["array_of"])
        elif one[0].isupper():
            yield one


@pytest.mark.parametrize(("path", "text"), [pytest.param(*file, id=file[0].name) for file in schemas.files()])
def test_a_file_is_as_it_would_be_written(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make schemas`, and see in the diff what it changes"


@pytest.mark.parametrize("name", FILES)
def test_a_schema_names_no_record_that_it_does_not_describe(name: str) -> None:
    messages = FILES[name]["messages"]
    used = {used for message in messages for field in message["fields"] for used in names_in(field["type"])}
    assert used <= {message["name"] for message in messages}


@pytest.mark.parametrize("name", FILES)
def test_what_has_a_default_stands_at_the_end(name: str) -> None:
    for message in FILES[name]["messages"]:
        required = [field["required"] for field in message["fields"]]
        first = 0 if message["tag"] is None else 1
        assert required == sorted(required, reverse=True)
        assert [field["position"] for field in message["fields"]] == list(range(first, first + len(required)))


@pytest.mark.parametrize(("name", "page"), [("client.json", "README.md"), ("peer.json", "peers.md")])
def test_a_page_has_a_table_of_every_message(name: str, page: str) -> None:
    blocks = set(schemas.BLOCK.findall((schemas.SCHEMAS / page).read_text(encoding="utf-8")))
    assert {message["name"] for message in FILES[name]["messages"]} <= blocks


def test_a_node_refuses_what_it_does_not_know_in_a_request() -> None:
    requests = [message for message in FILES["client.json"]["messages"] if message["kind"] == "request"]
    assert {message["more_fields"] for message in requests} == {"refused"}


@pytest.mark.parametrize("words", ["", "[Put]\nkey = 'a key'", "[Put]\nkey = 'a key'\nvalue = 'a value'\nnew = '?'"])
def test_a_field_without_meaning_and_a_meaning_without_field_are_found(tmp_path: Path, words: str) -> None:
    (tmp_path / "meanings.toml").write_text(words)
    with pytest.raises(schemas.Contradiction, match="must explain"):
        schemas.Meanings(tmp_path / "meanings.toml").of("Put", ["key", "value"])


def test_a_meaning_of_what_is_no_more_is_found(tmp_path: Path) -> None:
    (tmp_path / "meanings.toml").write_text("[Put]\nkey = 'a key'\n[Old]\nkey = 'a key'\n")
    meanings = schemas.Meanings(tmp_path / "meanings.toml")
    assert meanings.of("Put", ["key"]) == ["a key"]
    with pytest.raises(schemas.Contradiction, match="Old"):
        meanings.require_all_used()


def test_a_page_that_asks_for_what_is_not_there_is_found() -> None:
    with pytest.raises(schemas.Contradiction, match="Pat"):
        schemas.page("<!-- generated: Pat -->\n<!-- end -->", schemas.blocks(FILES))


def test_the_command_finds_all_as_it_should_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["schemas.py", "--check"])
    with pytest.raises(SystemExit) as end:
        schemas.main()
    assert (end.value.code, capsys.readouterr().out) == (0, "")
