"""A picture of the Grafana dashboard, as far as one can have it without Grafana: one SVG, each panel in its place.

It shows what the panels' queries return: lines over time, states as bars, single values. Grafana's own colours, units
and axes are not copied.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

Points = Sequence[tuple[float, float]]
"""(unix seconds, value), at least one."""
Series = tuple[Mapping[str, str], Points]
"""Its labels, and its points."""
Named = Sequence[tuple[str, Points]]
"""The same, by what the legend says."""
Ask = Callable[[str], Sequence[Series]]
"""The series of an expression as it stands in the dashboard."""

COLUMN, ROW, GAP, HEAD, FOOT = 60, 30, 4, 22, 18
"""Pixels: of a column and a row of Grafana's grid, between panels, of a title, of a legend."""
COLOURS = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#c4162a", "#8f9f00", "#0a7a8a", "#705da0", "#8c564b", "#555555")
GREY = "#888888"


def picture(dashboard: Mapping[str, Any], ask: Ask, span: tuple[float, float]) -> str:
    """The dashboard between the two times of ``span``, as an SVG file."""
    panels = dashboard["panels"]
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels) * ROW
    drawn = "\n".join(_panel(one, ask, span) for one in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{24 * COLUMN}" height="{height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#f4f5f5"/>\n{drawn}\n</svg>\n'
    )


def _panel(panel: Mapping[str, Any], ask: Ask, span: tuple[float, float]) -> str:
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
    title = f'<text x="6" y="15" font-weight="bold">{escape(panel["title"])}</text>'
    body = ""
    if panel["type"] != "row":
        title = f'<rect width="{width}" height="{height}" fill="white" stroke="#d8d9da"/>{title}'
        named = [
            (_named(target["legendFormat"], labels), points)
            for target in panel["targets"]
            for labels, points in ask(target["expr"])
        ]
        body = _body(panel, named, width, height, span) if named else '<text x="6" y="40" fill="#c4162a">no data</text>'
    x, y = place["x"] * COLUMN, place["y"] * ROW
    return f'<svg x="{x}" y="{y}" width="{width}" height="{height}">{title}{body}</svg>'


def _body(panel: Mapping[str, Any], named: Named, width: int, height: int, span: tuple[float, float]) -> str:
    if panel["type"] == "stat":
        return _values(named, width, height)
    if panel["type"] == "state-timeline":
        return _states(_mapping(panel), named, width, height, span)
    return _lines(named, width, height, span)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)


def _mapping(panel: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """The colour and the name of each value, as the panel gives them."""
    given = [one["options"] for one in panel["fieldConfig"]["defaults"]["mappings"] if one["type"] == "value"]
    return {int(value): (one["color"], one["text"]) for options in given for value, one in options.items()}


def _step(points: Points) -> float:
    """The time between two values, where none is missing."""
    return min((later - earlier for (earlier, _), (later, _) in pairwise(points)), default=1.0)


def _values(named: Named, width: int, height: int) -> str:
    """The newest values; not of a series that has ended."""
    newest = max(points[-1][0] for _, points in named)
    told = ", ".join(f"{name} {_number(points[-1][1])}" for name, points in named if points[-1][0] == newest)
    return f'<text x="{width // 2}" y="{height // 2 + 12}" font-size="16" text-anchor="middle">{escape(told)}</text>'


def _states(
    states: Mapping[int, tuple[str, str]], named: Named, width: int, height: int, span: tuple[float, float]
) -> str:
    """A bar for each node, in the colour of its state; a gap is a time without a value."""
    step = (height - HEAD - FOOT) / len(named)
    parts = []
    for line, (name, points) in enumerate(named):
        top = HEAD + line * step
        parts.append(f'<text x="6" y="{top + step / 2:.0f}">{escape(name)}</text>')
        wide = _step(points)
        for at, value in (one for one in points if math.isfinite(one[1])):
            left, right = (_x(time, width, span) for time in (at, at + wide))
            colour, _ = states.get(int(value), (GREY, ""))
            size = f'width="{right - left:.1f}" height="{step * 0.8:.1f}"'
            parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{colour}"/>')
    legend = "".join(f'<tspan fill="{colour}">{escape(text)}  </tspan>' for colour, text in states.values())
    return "".join(parts) + f'<text x="6" y="{height - 5}" xml:space="preserve">{legend}</text>'


def _lines(named: Named, width: int, height: int, span: tuple[float, float]) -> str:
    values = [value for _, points in named for _, value in points if math.isfinite(value)]
    least, most = min([0.0, *values]), max(values, default=0.0)
    scale = (height - HEAD - FOOT - 8) / ((most - least) or 1.0)
    parts = [f'<text x="6" y="{HEAD + 12}" fill="#888">{_number(most)}</text>']
    for number, (_, points) in enumerate(named):
        colour = COLOURS[number % len(COLOURS)]
        places = [
            (at, f"{_x(at, width, span):.1f},{height - FOOT - 2 - (value - least) * scale:.1f}")
            for at, value in points
            if math.isfinite(value)
        ]
        parts += [
            f'<polyline points="{line}" fill="none" stroke="{colour}"/>' for line in _unbroken(places, _step(points))
        ]
    legend = "".join(
        f'<tspan fill="{COLOURS[number % len(COLOURS)]}">{escape(name)}  </tspan>'
        for number, (name, _) in enumerate(named)
    )
    return "".join(parts) + f'<text x="6" y="{height - 5}" font-size="9" xml:space="preserve">{legend}</text>'


def _unbroken(places: Sequence[tuple[float, str]], step: float) -> list[str]:
    """A line for each stretch of time in which no value is missing."""
    lines: list[list[str]] = []
    before = -math.inf
    for at, place in places:
        if at - before > 1.5 * step:
            lines.append([])
        lines[-1].append(place)
        before = at
    return [" ".join(line) for line in lines]


def _x(at: float, width: int, span: tuple[float, float]) -> float:
    """Where a time is, right of the names."""
    begin, end = span
    return 60 + (at - begin) / (end - begin) * (width - 66)


def _number(value: float) -> str:
    """A value in a few characters, with a prefix for large ones."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"
