"""What one write of a batch that somebody saw tells of the others."""

from zraft.verify.batches import made_by, spans_of
from zraft.verify.history import Command
from zraft.verify.model import Span

PUT, DELETE = Command("put", "a", "1"), Command("delete", "b")
CREATE = Command("put", "c", "2", expected=0)


def test_unconditional_puts_have_each_a_revision() -> None:
    spans = spans_of((PUT, PUT, PUT), (None, 8, None))
    assert spans == [Span(6, 6), Span(7, 7), Span(8, 8), Span(9, 9)]
    assert list(made_by(spans)) == [(0, 7), (1, 8), (2, 9)]


def test_what_may_have_had_no_effect_leaves_a_revision_more_or_less() -> None:
    spans = spans_of((DELETE, PUT, CREATE, PUT), (None, 8, None, None))
    assert spans == [Span(6, 7), Span(7, 7), Span(8, 8), Span(8, 9), Span(9, 10)]
    assert list(made_by(spans)) == [(1, 8)]


def test_two_known_revisions_tell_what_is_between() -> None:
    all_effective = spans_of((PUT, DELETE, CREATE, PUT), (8, None, None, 11))
    assert all_effective is not None
    assert list(made_by(all_effective)) == [(0, 8), (1, 9), (2, 10), (3, 11)]
    none_effective = spans_of((PUT, DELETE, CREATE, PUT), (8, None, None, 9))
    assert none_effective == [Span(7, 7), Span(8, 8), Span(8, 8), Span(8, 8), Span(9, 9)]


def test_revisions_that_no_batch_can_have() -> None:
    assert spans_of((PUT, DELETE, PUT), (8, None, 11)) is None
    assert spans_of((PUT, PUT, PUT), (8, None, 9)) is None
    assert spans_of((PUT, DELETE, PUT), (8, None, 7)) is None
    assert spans_of((PUT, PUT), (None, 1)) is None
