"""Puts the alert rules of deploy/alerts.yaml where Kubernetes needs a copy of them.

python tools/alert_manifests.py           # tells whether the copies are the rules, by its exit code
python tools/alert_manifests.py --write
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
COPIES = {"prometheus.yaml": ("  alerts.yaml: |\n", 4), "servicemonitor.yaml": ("spec:\n", 2)}
"""The line of each manifest below which the rules stand, and how far they are indented. The last such line counts."""
_END = "---\n"


def rendered(name: str) -> str:
    """The manifest with the rules as they are now."""
    head, columns = COPIES[name]
    text = (DEPLOY / name).read_text(encoding="utf-8")
    before, _, behind = text.rpartition(head) if columns == 2 else text.partition(head)
    _, end, rest = behind.partition(_END)
    rules = "".join(
        line
        for line in (DEPLOY / "alerts.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
        if not line.startswith("#")
    )
    return before + head + textwrap.indent(rules, " " * columns) + end + rest


def main() -> int:
    """Writes, or compares."""
    stale = [name for name in COPIES if (DEPLOY / name).read_text(encoding="utf-8") != rendered(name)]
    if "--write" in sys.argv[1:]:
        for name in stale:
            (DEPLOY / name).write_text(rendered(name), encoding="utf-8")
        return 0
    if stale:
        print(f"these have other rules than deploy/alerts.yaml: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
