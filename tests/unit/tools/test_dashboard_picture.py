"""The picture of the dashboard: every panel in its place, with what its queries return."""

import json
import re
import xml.etree.ElementTree as xml
from collections.abc import Sequence

from tools.dashboard import DASHBOARD
from tools.dashboard_picture import Series, picture

SPAN = (100.0, 110.0)
LABELS = {"instance": "node-<1>", "kind": "write", "actor": "storage", "queue": "messages", "peer": "b", "result": "ok"}


def panels(asked: Sequence[Series]) -> list[tuple[str, xml.Element]]:
    """The panels of the real dashboard by their titles, with these series for each query."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    drawn = xml.fromstring(picture(dashboard, lambda expression: asked, SPAN))
    space = "{http://www.w3.org/2000/svg}"
    found = [one for one in drawn if one.tag == f"{space}svg"]
    assert len(found) == len(dashboard["panels"])
    return [(next(one.text or "" for one in panel if one.tag == f"{space}text"), panel) for panel in found]


def test_each_panel_shows_what_its_queries_return() -> None:
    for title, panel in panels([(LABELS, [(100.0, 1.0), (105.0, 2_500.0), (110.0, float("nan"))])]):
        text = xml.tostring(panel, encoding="unicode")
        is_row = "<ns0:rect" not in text
        assert "no data" not in text, title
        assert is_row or re.search(r"polyline|tspan|font-size=.16.|leader|ready", text), title


def test_a_panel_without_data_says_so() -> None:
    said = [title for title, panel in panels([]) if "no data" in xml.tostring(panel, encoding="unicode")]
    assert "Write latency" in said
    assert "Cluster health" not in said  # a row


def test_a_line_breaks_where_values_are_missing() -> None:
    lines = dict(panels([(LABELS, [(100.0, 1.0), (101.0, 2.0), (109.0, 1.0)])]))["Requests"]
    assert len([one for one in lines if one.tag.endswith("polyline")]) == 2


def test_a_series_that_has_ended_is_no_newest_value() -> None:
    ended, lasting = [(100.0, 1.0)], [(100.0, 2.0), (110.0, 3.0)]
    term = dict(panels([({}, ended), ({}, lasting)]))["Space"]
    assert [one.text for one in term if one.get("font-size") == "16"] == ["level 3"]


def test_states_are_bars_and_gaps_stay_gaps() -> None:
    points = [(100.0, 0.0), (101.0, 2.0), (109.0, 1.0)]
    bars = dict(panels([(LABELS, points)]))["Node states"]
    assert [one.get("fill") for one in bars if one.tag.endswith("rect")][1:] == ["blue", "green", "orange"]
    assert "node-&lt;1&gt;" in xml.tostring(bars, encoding="unicode")
