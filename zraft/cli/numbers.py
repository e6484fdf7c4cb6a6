"""Numbers on a command line: all of them within bounds, and named in errors by plain words."""

from __future__ import annotations

import math
from typing import Any

import click

from zraft.core.limits import REVISION_MAX


class WholeRange(click.IntRange):
    """Whole numbers within bounds."""

    name = "integer"


class NumberRange(click.FloatRange):
    """Numbers within bounds. NaN is in no order with any bound, so that the bounds alone would let it pass."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


def revisions(least: int = 0) -> WholeRange:
    """What may be a revision, from this one on: what the wire can carry."""
    return WholeRange(least, REVISION_MAX)
