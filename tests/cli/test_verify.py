"""``zraft verify``: its verdict, its files and its exit codes. Real clusters are verified in tests/cluster."""

import json
from pathlib import Path

from tests.cli.asking import Serve, ask, run
from zraft.protocol.requests import Batch, Get, Put, Range, Request
from zraft.protocol.responses import BatchResult, DeleteResult, ErrorResult, GetResult, PutResult, RangeResult, Response
from zraft.verify import Operation, Result, write_history

HISTORY = "--history"


def told(value: str, revision: int, begin: int) -> Operation:
    result = Result(revision=revision, mod_revision=revision)
    return Operation(
        client=1,
        operation="put",
        key="k",
        value=value,
        outcome="ok",
        revision=revision,
        result=result,
        invocation=begin,
        completion=begin + 1,
    )


def test_a_right_history_is_judged(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(file, [told("1", 1, 10), told("2", 2, 20)])
    result = run("verify", "--check", str(file))
    assert (result.exit_code, result.stdout) == (0, "operations=2 faults=0 unknown=0 violations=0\n")
    assert list(tmp_path.iterdir()) == [file]
    document = json.loads(run("verify", "--check", str(file), "--output", "json").stdout)
    assert document == {"operations": 2, "unknown": 0, "violations": 0}


def test_a_wrong_history_is_told_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(file, [told("1", 2, 10), told("2", 1, 20)])
    result = run("verify", "--check", str(file))
    assert (result.exit_code, result.stdout) == (6, "operations=2 faults=0 unknown=0 violations=1\n")
    assert "a write got revision 1 when 2 had been told already" in result.stderr
    assert "a write got revision 1" in (tmp_path / "h.jsonl.html").read_text()


def test_what_is_no_history_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    file.write_text("nothing\n")
    result = run("verify", "--check", str(file))
    assert (result.exit_code, "line 1" in result.stderr) == (2, True)


def test_a_history_that_can_not_be_judged_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(file, [told("1", 1, 10), told("1", 2, 20)])
    result = run("verify", "--check", str(file))
    assert (result.exit_code, "two puts write '1'" in result.stderr) == (2, True)


def test_a_history_of_nothing_proves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    file.touch()
    for form in ("table", "json"):
        result = run("verify", "--check", str(file), "--output", form)
        said = f"zraft: no operations in {file}: nothing was checked\n"
        assert (result.exit_code, result.stdout, result.stderr) == (5, "", said)


def test_a_node_that_forgets_what_it_acknowledged_is_found(serve: Serve, tmp_path: Path) -> None:
    """It takes every put, with a revision of its own for each, and finds nothing."""
    revision = 0

    def answer(request: Request) -> Response:
        nonlocal revision
        match request:
            case Batch(operations) if isinstance(operations[0], Get):
                return BatchResult(tuple(GetResult(False, None, None, revision) for _ in operations), 0, revision)
            case Batch(operations):
                results: list[PutResult | DeleteResult] = []
                for operation in operations:
                    revision += isinstance(operation, Put)
                    done = PutResult(True, None, 7, revision, revision)
                    results.append(done if isinstance(operation, Put) else DeleteResult(True, None, 7, revision))
                return BatchResult(tuple(results), 7, revision)
            case Range():
                return RangeResult((), False, b"", revision)
        return GetResult(False, None, None, revision)

    file = tmp_path / "h.jsonl"
    result = ask(serve(answer), "verify", "--seconds", "0.5", "--clients", "1", HISTORY, str(file))
    assert result.exit_code == 6
    assert "fits nothing that may have been before it" in result.stderr
    assert file.exists()


def test_nobody_to_verify_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    result = run("verify", "--seconds", "0.3", "--timeout", "0.2", "--endpoints", "127.0.0.1:1", HISTORY, str(file))
    assert (result.exit_code, "not one write succeeded" in result.stderr) == (3, True)


def test_a_violation_is_told_also_where_it_can_not_be_drawn(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    write_history(file, [told("1", 2, 10), told("2", 1, 20)])
    (tmp_path / "h.jsonl.html").mkdir()
    result = run("verify", "--check", str(file))
    assert (result.exit_code, result.stdout) == (6, "operations=2 faults=0 unknown=0 violations=1\n")
    assert "a write got revision 1 when 2 had been told already" in result.stderr
    assert "could not be drawn" in result.stderr


def test_a_file_that_can_not_be_written_is_found_out_before_the_load(serve: Serve, tmp_path: Path) -> None:
    node = serve(GetResult(False, None, None, 1))
    result = ask(node, "verify", "--seconds", "60", HISTORY, str(tmp_path / "nowhere" / "h.jsonl"))
    assert (result.exit_code, node.requests) == (71, [])
    assert result.stderr == f"zraft: there is no directory {tmp_path / 'nowhere'}\n"


def test_a_link_that_leads_to_itself_is_an_error_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    result = run("verify", "--endpoints", "127.0.0.1:1", HISTORY, str(tmp_path / "loop"))
    assert (result.exit_code, result.stderr.count("\n")) == (71, 1)


def test_what_was_answered_is_judged_even_if_nobody_answers_at_the_end(serve: Serve, tmp_path: Path) -> None:
    done: list[Response] = []

    def answer(request: Request) -> Response:
        match request:
            case Batch((Put(expected_revision=None),)) if not done:
                done.append(BatchResult((PutResult(True, None, 7, 1, 1),), 7, 1))
                return done[0]
        return ErrorResult("InvalidArgument", "no")

    file = tmp_path / "h.jsonl"
    result = ask(serve(answer), "verify", "--seconds", "0.5", "--clients", "1", HISTORY, str(file))
    assert (result.exit_code, "violations=0" in result.stdout) == (3, True)
    assert "only the answers are judged" in result.stderr
    assert file.stat().st_size > 0
