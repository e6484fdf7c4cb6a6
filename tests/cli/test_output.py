"""What commands print, for people and for machines, and with which bytes."""

import io
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from tests.cli.asking import Serve, ask, run
from zraft.cli.output import SHOWN_MAX, in_json, shown, tell, write_out
from zraft.protocol.requests import Delete, Get, Put, Range, Request
from zraft.protocol.responses import DeleteResult, ErrorResult, GetResult, KeyValue, PutResult, RangeResult, Response

DONE = PutResult(success=True, error=None, index=7, revision=3, mod_revision=3)
GONE = DeleteResult(success=True, error=None, index=8, revision=4, found=True)
FOUND = GetResult(True, "grün\n".encode(), None, 9, 2, 5, 3)
ITEMS = (KeyValue(b"a", "grün\n".encode(), 2, 5, 3), KeyValue(b"\xff\x80", b"\xfe", 6, 6, 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text", "text"),
        ('grün\n"'.encode(), 'grün\n"'),
        (b"\x00", "\x00"),
        (b"", ""),
        (b"\xff\x80", {"base64": "/4A="}),
        (b'{"base64": ""}', '{"base64": ""}'),
    ],
)
def test_bytes_in_json_are_text_or_base64_and_come_back_as_they_were(value: bytes, expected: object) -> None:
    assert in_json(value) == expected


def test_no_value_can_talk_to_the_terminal() -> None:
    assert shown(b"\x1b[2J\r\n\x07\x9b\xff\xc2\x9b") == r"\x1b[2J\r\n\x07\x9b\xff\x9b"
    assert shown("grün ☃".encode()) == "grün ☃"


def test_what_is_long_is_cut_for_people() -> None:
    assert shown(b"x" * SHOWN_MAX) == "x" * SHOWN_MAX
    assert shown(b"x" * 100_000) == "x" * (SHOWN_MAX - 1) + "…"
    assert shown("☃".encode() * 100) == "☃" * (SHOWN_MAX - 1) + "…"


def test_a_value_with_its_revisions(serve: Serve) -> None:
    node = serve(FOUND)
    result = ask(node, "get", "k", "--output", "json", "--revision", "8")
    assert (result.exit_code, result.stderr, json.loads(result.stdout)) == (
        0,
        "",
        {"key": "k", "value": "grün\n", "create_revision": 2, "mod_revision": 5, "version": 3, "revision": 9},
    )
    assert node.requests == [Get(b"k", False, 8)]
    table = ask(node, "get", b"\xff", "--output", "table").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["KEY", "VALUE", "VERSION", "CREATED", "CHANGED"],
        ["\\xff", "grün\\n", "3", "2", "5"],
    ]


def test_the_word_that_0_1_0_had_for_tables_is_taken(serve: Serve) -> None:
    assert ask(serve(DONE), "put", "k", "v", "--output", "text").stdout == "revision 3\n"


def test_a_change_as_a_sentence_json_or_a_bare_revision(serve: Serve) -> None:
    put, delete = serve(DONE), serve(GONE)
    assert [
        ask(put, "put", "k", "v", "--output", "raw").stdout,
        ask(delete, "delete", "k", "--output", "raw").stdout,
        json.loads(ask(put, "put", "k", "v", "--output", "json").stdout),
        json.loads(ask(delete, "delete", "k", "--output", "json").stdout),
    ] == ["3\n", "4\n", {"revision": 3, "index": 7}, {"revision": 4, "index": 8}]


@pytest.mark.parametrize("command", [["put", "k", "v"], ["delete", "k"]])
def test_the_previous_value_is_printed_as_get_prints_one(serve: Serve, command: list[str]) -> None:
    before = KeyValue(b"k", b"\xff\n", 2, 5, 3)
    node = serve(replace(DONE if command[0] == "put" else GONE, revision=6, previous=before))
    command = [*command, "--return-previous"]
    lines = ask(node, *command).stdout.splitlines()
    assert (lines[0], [line.split() for line in lines[1:]]) == (
        "revision 6",
        [["KEY", "VALUE", "VERSION", "CREATED", "CHANGED"], ["k", "\\xff\\n", "3", "2", "5"]],
    )
    previous = json.loads(ask(node, *command, "--output", "json").stdout)["previous"]
    revisions = {"create_revision": 2, "mod_revision": 5, "version": 3}
    assert previous == {"key": "k", "value": {"base64": "/wo="}, **revisions}
    assert ask(node, *command, "--output", "raw").stdout_bytes == b"\xff\n"
    asked = [one.return_previous for one in node.requests if isinstance(one, Put | Delete)]
    assert asked == [True] * 3


def test_a_put_may_have_had_nothing_before_it(serve: Serve) -> None:
    command = ("put", "k", "v", "--return-previous", "--output")
    assert [ask(serve(DONE), *command, output).stdout for output in ("table", "raw")] == [
        "revision 3\nthere was no such key before\n",
        "",
    ]
    assert json.loads(ask(serve(DONE), *command, "json").stdout) == {"revision": 3, "index": 7, "previous": None}


def test_a_path_is_told_as_it_is(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    tell("table", os.fsdecode(b"gr\xfcn"), {})
    assert capsysbinary.readouterr().out == b"gr\xfcn\n"


def test_a_range_is_a_table_for_people(serve: Serve) -> None:
    node = serve(RangeResult(ITEMS, more=False, next_key=b"", revision=9))
    result = ask(node, "range")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["KEY", "VALUE", "VERSION", "CREATED", "CHANGED"],
        ["a", "grün\\n", "3", "2", "5"],
        ["\\xff\\x80", "\\xfe", "1", "6", "6"],
    ]
    assert ask(node, "range", "--keys-only").stdout.splitlines()[0].split() == ["KEY", "VERSION", "CREATED", "CHANGED"]


def test_a_range_is_json_for_machines(serve: Serve) -> None:
    node = serve(RangeResult(ITEMS, more=False, next_key=b"", revision=9))
    first = {"key": "a", "value": "grün\n", "create_revision": 2, "mod_revision": 5, "version": 3}
    second = {"key": {"base64": "/4A="}, "value": {"base64": "/g=="}, "create_revision": 6, "mod_revision": 6}
    assert json.loads(ask(node, "range", "--output", "json").stdout) == [first, {**second, "version": 1}]
    keys = json.loads(ask(node, "range", "--output", "json", "--keys-only").stdout)
    assert ["value" in item for item in keys] == [False, False]
    empty = serve(RangeResult((), more=False, next_key=b"", revision=9))
    assert json.loads(ask(empty, "range", "--output", "json").stdout) == []


def test_a_raw_range_is_bytes_as_they_are(serve: Serve) -> None:
    node = serve(RangeResult(ITEMS, more=False, next_key=b"", revision=9))
    assert ask(node, "range", "--output", "raw").stdout_bytes == "a\tgrün\n\n".encode() + b"\xff\x80\t\xfe\n"
    assert ask(node, "range", "--output", "raw", "--keys-only").stdout_bytes == b"a\n\xff\x80\n"
    assert ask(serve(RangeResult((), False, b"", 9)), "range", "--output", "raw").stdout_bytes == b""


def test_a_range_says_what_it_wants(serve: Serve) -> None:
    node = serve(RangeResult((), more=False, next_key=b"", revision=9))
    ask(node, "range", b"\xff", "b", "--prefix", b"\xfe", "--limit", "5", "--keys-only", "--revision", "3")
    ask(node, "range", "a", "--consistency", "serializable")
    ask(node, "range")
    assert node.requests == [
        Range(b"\xfe", b"\xff", b"b", 5, 3, False, True),
        Range(start=b"a", serializable=True),
        Range(),
    ]


def test_a_long_range_is_printed_as_it_comes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(request: Request) -> Response:
        assert isinstance(request, Range)
        number = int(request.start or b"0")
        return RangeResult((KeyValue(b"%d" % number, b"", 1, 1, 1),), number < 6, b"%d" % (number + 1), 9)

    node = serve(page)
    monkeypatch.setattr("zraft.cli.ranges.TABLE_ROWS", 2)
    lines = ask(node, "range").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", *"0123456"]
    assert len(json.loads(ask(node, "range", "--output", "json").stdout)) == 7


@pytest.mark.parametrize("output", ["table", "json", "raw"])
def test_a_range_that_fails_prints_nothing(serve: Serve, output: str) -> None:
    result = ask(serve(ErrorResult("Compacted", "revision 3 is gone")), "range", "--output", output)
    assert (result.exit_code, result.stdout, "revision 3 is gone" in result.stderr) == (5, "", True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "zraft: No such command 'nonsense'. See `zraft --help`.\n"),
        (["ls", "x"], "zraft: No such command 'ls': it is called range here. See `zraft --help`.\n"),
        (["version"], "zraft: No such command 'version': it is called --version here. See `zraft --help`.\n"),
        (["watch"], "zraft: No such command 'watch': zraft has no watches yet. See `zraft --help`.\n"),
        (["members"], "zraft: No such command 'members': it is called member list here. See `zraft --help`.\n"),
        (["put"], "zraft: Missing argument 'KEY'. See `zraft put --help`.\n"),
        (["dev", "kill"], "zraft: Missing argument 'NODE'. See `zraft dev kill --help`.\n"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_look(arguments: list[str], says: str) -> None:
    assert run(*arguments).stderr.replace("zraft-cli", "zraft") == says


def test_without_arguments_help_is_shown() -> None:
    result = run()
    assert (result.exit_code, result.stdout, result.stderr.startswith("Usage: zraft")) == (2, "", True)


def test_help_has_examples_and_exit_codes() -> None:
    help_of_put = run("put", "--help").stdout
    assert "  zraft put lock/deploy me --expected-revision 0  # only if there is none\n" in help_of_put
    assert "Exit codes:\n  0  done\n  1  key not found, or a precondition failed\n" in help_of_put


def test_bytes_are_written_to_the_end_without_a_buffer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raw(io.RawIOBase):
        """A pipe that takes three bytes at a time."""

        taken = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.taken += bytes(data)[:3]
            return min(3, memoryview(data).nbytes)

    raw = Raw()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=raw))
    write_out([b"0123456789", b"", b"ab"])
    assert raw.taken == b"0123456789ab"
