"""What can be known of a batch whose client was told nothing, once somebody saw one of its writes.

A batch is no transaction, and each of its writes has its own condition and revision. But it is one command of the log:
who saw one of its writes knows that all of them were executed, one after the other, with nobody else's in between. So
each unconditional put among them made a revision, and each other write made the next one, or none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from zraft.verify.history import Command
from zraft.verify.model import Span

_REVISION_MAX = 1 << 64


def spans_of(commands: Sequence[Command], revisions: Sequence[int | None]) -> list[Span] | None:
    """The store's revision before each command, and last behind all of them, as narrowly as the known ones tell it.

    Args:
        commands: the writes of a batch that was executed.
        revisions: of each the revision that it made, if that is known.

    Returns:
        None: no such batch can have been.
    """
    size = len(commands)
    least, most = [0] * (size + 1), [_REVISION_MAX] * (size + 1)
    sure = [revision is not None or _is_sure(one) for one, revision in zip(commands, revisions, strict=True)]
    for place, revision in enumerate(revisions):
        if revision is not None:
            least[place], most[place] = max(least[place], revision - 1), min(most[place], revision - 1)
            least[place + 1], most[place + 1] = max(least[place + 1], revision), min(most[place + 1], revision)
    for place in range(size):
        least[place + 1] = max(least[place + 1], least[place] + sure[place])
        most[place + 1] = min(most[place + 1], most[place] + 1)
    for place in reversed(range(size)):
        least[place] = max(least[place], least[place + 1] - 1)
        most[place] = min(most[place], most[place + 1] - sure[place])
    spans = [Span(*bounds) for bounds in zip(least, most, strict=True)]
    return None if any(span.least > span.most for span in spans) else spans


def made_by(spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """(place, revision) of each write that made one for sure, and which one."""
    for place, (before, after) in enumerate(itertools.pairwise(spans)):
        if before.least == before.most < after.least == after.most:
            yield place, after.least


def _is_sure(command: Command) -> bool:
    return command.operation == "put" and command.expected is None
