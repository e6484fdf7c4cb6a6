"""The schemas and the pages of the wire protocol say what the code does."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.by_schema import FILES, RECORDS
from tools import golden, schemas
from tools.answers import ANSWERS
from zraft.client.core import has_effect, is_local
from zraft.protocol.requests import ListMembers


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
    missing = {message["name"] for message in FILES[name]["messages"]} - blocks
    assert not missing, f"say in proto_schemas/{page} what they are for, above `<!-- generated: NAME --> <!-- end -->`"


def test_a_node_refuses_what_it_does_not_know_in_a_request() -> None:
    requests = [message for message in FILES["client.json"]["messages"] if message["kind"] == "request"]
    assert {message["more_fields"] for message in requests} == {"refused"}


def test_a_schema_tells_which_record_answers_a_request_and_which_field_decides_how_to_treat_it() -> None:
    messages = {message["name"]: message for message in FILES["client.json"]["messages"]}
    requests = [message for message in messages.values() if message["kind"] == "request"]
    assert {messages[one["answer"]]["kind"] for one in requests} == {"response"}
    for one in requests:
        fields = {field["name"] for field in one["fields"]}
        assert {key for key in ("has_effect", "any_node") if one[key] not in (True, False, *fields)} == set()
    unasked = {name for name, message in messages.items() if message["kind"] == "response"} - {"ErrorResult"}
    assert {one["answer"] for one in requests} == unasked


def holds(key: str, request: dict[str, Any]) -> bool:
    """``has_effect`` or ``any_node`` of a request as golden files have it, by what the page says of these keys."""
    [(name, fields)] = request.items()
    decides = RECORDS[name][key]
    if decides != "operations":
        return bool(fields[decides] if isinstance(decides, str) else decides)
    found = [holds(key, operation) for operation in fields["operations"]]
    return any(found) if key == "has_effect" else all(found)


@pytest.mark.parametrize("line", [line for line in golden.load("client.jsonl") if line["frame"] == "request"])
def test_a_schema_has_a_request_treated_as_the_client_does(line: golden.Line) -> None:
    request = golden.value_of(line["value"])
    treated = (has_effect(request), is_local(request))
    assert (holds("has_effect", line["value"]), holds("any_node", line["value"])) == treated


def test_the_pages_client_takes_for_a_write_what_a_schema_says_has_an_effect() -> None:
    page = (schemas.SCHEMAS / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"is_write = request is (.*)", page)
    requests = [message for message in FILES["client.json"]["messages"] if message["kind"] == "request"]
    assert set(re.findall(r"[A-Z]\w+", line)) == {one["name"] for one in requests if one["has_effect"]}


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


def test_a_request_that_the_tables_of_the_tools_lack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ListMembers
    monkeypatch.delitem(ANSWERS, request)
    with pytest.raises(schemas.Contradiction, match=r"tools/answers.py: ANSWERS must have ListMembers"):
        schemas.treatment(request)
    monkeypatch.delitem(schemas.REQUESTS, "ListMembers")
    with pytest.raises(schemas.Contradiction, match=r"tools/schemas.py: REQUESTS must have ListMembers"):
        schemas.treatment(request)


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
