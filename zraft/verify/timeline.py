"""A violation as a picture: who asked what and when, in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from zraft.verify.evidence import Violation, items_of
from zraft.verify.history import UNKNOWN, Operation

SHOWN_MAX = 60
WIDTH_PERCENT = 96.0
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px sans-serif; margin: 2em; }}
.row {{ position: relative; height: 2.6em; border-bottom: 1px solid #ddd; }}
.row > b {{ position: absolute; left: 0; top: .7em; width: 4%; }}
.bar {{ position: absolute; top: .3em; height: 1.9em; overflow: hidden; white-space: nowrap; font-size: 12px;
  background: #cde; border: 1px solid #468; box-sizing: border-box; min-width: 4px; padding: 2px; }}
.write {{ background: #dec; border-color: #684; }}
.unknown {{ border-style: dashed; border-right: none; }}
.failed {{ background: #eee; border-color: #999; }}
.shown {{ border-width: 2px; border-color: #b60; }}
.last {{ border-width: 3px; border-color: #c00; }}
pre {{ white-space: pre-wrap; }}
</style>
<h1>{title}</h1>
<p>Time goes to the right, {span:.3f} ms in all; a row is a client. Green writes, blue reads, grey had no effect;
dashed: nobody knows. Orange and red are the operations that show the violation, red the one that is too many.</p>
{rows}
<h2>The operations that show it</h2>
<pre>{lines}</pre>
"""


def picture_of(violation: Violation, history: Sequence[Operation]) -> str:
    """The page: the operations that show a violation, and what else happened to their keys meanwhile."""
    shown = _around(violation, history)
    begin = min(operation.invocation for operation in shown)
    end = max(begin + 1, *(operation.completion for operation in shown))
    rows = []
    for client in sorted({operation.client for operation in shown}):
        bars = "".join(_bar(one, violation, begin, end) for one in shown if one.client == client)
        rows.append(f'<div class="row"><b>{client}</b>{bars}</div>')
    lines = "\n".join(escape(msgspec.json.encode(operation).decode()) for operation in violation.operations)
    title = escape(violation.what)
    return _PAGE.format(title=title, span=(end - begin) / 1e6, rows="\n".join(rows), lines=lines)


def _around(violation: Violation, history: Sequence[Operation]) -> list[Operation]:
    """Those of the violation, and the nearest others on the same keys within the time that they span."""
    keys = {key for operation in violation.operations[-1:] for key in _keys_of(operation)}
    begin = min(operation.invocation for operation in violation.operations)
    end = max(operation.completion for operation in violation.operations)
    last = violation.operations[-1].invocation
    others = [
        one
        for one in history
        if one.invocation <= end
        and (one.completion >= begin or one.outcome == UNKNOWN)
        and one not in violation.operations
        and not keys.isdisjoint(_keys_of(one))
    ]
    nearest = sorted(others, key=lambda one: abs(one.invocation - last))[:SHOWN_MAX]
    return sorted({*violation.operations, *nearest}, key=lambda one: one.invocation)


def _keys_of(operation: Operation) -> set[str]:
    keys = {command.key for command in operation.writes()} | {item.key for item in items_of(operation)}
    return keys | ({operation.key} if operation.operation == "get" else set())


def _bar(operation: Operation, violation: Violation, begin: int, end: int) -> str:
    classes = ["bar", operation.outcome, "write" if operation.writes() and operation.outcome != "failed" else ""]
    if operation in violation.operations:
        classes.append("last" if operation == violation.operations[-1] else "shown")
    scale = WIDTH_PERCENT / (end - begin)
    left = 100 - WIDTH_PERCENT + (operation.invocation - begin) * scale
    stop = end if operation.outcome == UNKNOWN else operation.completion
    style = f"left:{left:.3f}%;width:{(stop - operation.invocation) * scale:.3f}%"
    title = escape(msgspec.json.encode(operation).decode(), quote=True)
    return f'<div class="{" ".join(classes)}" style="{style}" title="{title}">{escape(_label(operation))}</div>'


def _label(operation: Operation) -> str:
    writes = ", ".join(f"{one.operation} {one.key} {one.value or ''}" for one in operation.writes())
    reads = ", ".join(f"{item.key}={item.value}@{item.mod_revision}" for item in items_of(operation))
    return f"{writes or f'{operation.operation} {operation.key}: {reads}'} @{operation.at or operation.revision}"
