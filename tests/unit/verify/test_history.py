"""The format of histories, as its page says it, and the picture of a violation."""

from pathlib import Path

import pytest

from zraft.verify import (
    Command,
    HistoryError,
    Item,
    Operation,
    Result,
    Violation,
    picture_of,
    read_history,
    write_history,
)

LINES = b"""\
{"client":3,"operation":"put","key":"p/k1","value":"3.17","outcome":"ok","revision":42,\
"result":{"revision":42,"mod_revision":42},"invocation":1200,"completion":1900}
{"client":1,"operation":"batch","commands":[{"operation":"put","key":"a","value":"1"},\
{"operation":"delete","key":"b","expected":7}],"outcome":"unknown","error":"Unknown: no answer","invocation":1,\
"completion":2}
{"client":0,"operation":"range","key":"p/","outcome":"ok","revision":9,"result":{"revision":9,\
"items":[{"key":"p/k1","value":"v","create_revision":1,"mod_revision":2,"version":2}]},"invocation":3,"completion":4}
"""

PUT = Operation(
    client=3,
    operation="put",
    key="p/k1",
    value="3.17",
    outcome="ok",
    revision=42,
    result=Result(revision=42, mod_revision=42),
    invocation=1200,
    completion=1900,
)
HISTORY = [
    PUT,
    Operation(
        client=1,
        operation="batch",
        commands=(Command("put", "a", "1"), Command("delete", "b", None, 7)),
        outcome="unknown",
        error="Unknown: no answer",
        invocation=1,
        completion=2,
    ),
    Operation(
        client=0,
        operation="range",
        key="p/",
        outcome="ok",
        revision=9,
        result=Result(revision=9, items=(Item("p/k1", "v", 1, 2, 2),)),
        invocation=3,
        completion=4,
    ),
]


def test_a_history_has_these_bytes(tmp_path: Path) -> None:
    write_history(tmp_path / "h", HISTORY)
    assert (tmp_path / "h").read_bytes() == LINES


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(LINES)
    assert list(read_history(tmp_path / "h")) == HISTORY


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(LINES + b'{"client":1}\n')
    with pytest.raises(HistoryError, match="h, line 4: "):
        list(read_history(tmp_path / "h"))


def test_a_picture_shows_the_violation_and_what_was_meanwhile() -> None:
    read = Operation(client=5, operation="get", key="p/k1", outcome="ok", revision=1, invocation=1800, completion=1990)
    other = Operation(client=7, operation="get", key="p/k1", outcome="ok", revision=1, invocation=1850, completion=1950)
    elsewhere = Operation(client=9, operation="get", key="<b>", outcome="ok", invocation=1850, completion=1950)
    page = picture_of(Violation("a <stale> read", (PUT, read)), [PUT, other, elsewhere, read])
    assert page.startswith("<!doctype html>")
    assert "<h1>a &lt;stale&gt; read</h1>" in page
    assert [page.count(f"<b>{client}</b>") for client in (3, 5, 7, 9)] == [1, 1, 1, 0]
    assert page.count(' last"') == 1
    assert "http" not in page
