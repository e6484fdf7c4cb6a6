"""What a request may be, and how the one who asks is told what to change."""

import pytest

from zraft.core.limits import REVISION_MAX, fault_of, grows, is_write
from zraft.protocol.requests import (
    BATCH_OPERATIONS_MAX,
    KEY_BYTES_MAX,
    RANGE_ITEMS_MAX,
    Batch,
    ClusterStatus,
    Compact,
    Delete,
    Get,
    Put,
    Range,
    Request,
)

LONGEST = b"k" * KEY_BYTES_MAX
RESERVED = "are reserved: this version takes only 0"


@pytest.mark.parametrize(
    "request_",
    [
        Put(b"k", b""),
        Put(LONGEST, b"v", expected_revision=0, return_previous=True),
        Put(b"\x00", b"v", expected_revision=REVISION_MAX),
        Delete(LONGEST, expected_revision=REVISION_MAX, return_previous=True),
        Get(LONGEST, serializable=True, revision=REVISION_MAX),
        Batch((Put(b"k", b"v"), Delete(b"k"))),
        Batch((Get(b"k"), Get(b"l"))),
        Batch((Get(b"k", serializable=True),)),
        Batch((Put(b"k", b"v"),) * BATCH_OPERATIONS_MAX),
        Range(),
        Range(prefix=LONGEST + b"\xff", start=LONGEST + b"\x00", end=LONGEST + b"\x00", limit=RANGE_ITEMS_MAX),
        ClusterStatus(),
    ],
)
def test_what_is_within_the_limits_has_no_fault(request_: Request) -> None:
    assert fault_of(request_) == ""


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (Put(b"", b"v"), "a key has 1 to 400 bytes, this one has 0"),
        (Put(LONGEST + b"k", b"v"), "a key has 1 to 400 bytes, this one has 401"),
        (Get(b""), "a key has 1 to 400 bytes, this one has 0"),
        (Delete(b""), "a key has 1 to 400 bytes, this one has 0"),
        (Put(b"k", b"v", expected_revision=-1), "a revision is within 0..2^63-1, this one is -1"),
        (Delete(b"k", expected_revision=1 << 63), f"a revision is within 0..2^63-1, this one is {1 << 63}"),
        (Get(b"k", revision=-1), "a revision is within 0..2^63-1, this one is -1"),
        (Put(b"k", b"v", session=1), f"session, sequence and lease {RESERVED}"),
        (Put(b"k", b"v", sequence=1), f"session, sequence and lease {RESERVED}"),
        (Put(b"k", b"v", lease=1), f"session, sequence and lease {RESERVED}"),
        (Delete(b"k", session=1), f"session and sequence {RESERVED}"),
        (Delete(b"k", sequence=1), f"session and sequence {RESERVED}"),
        (Batch(()), "a batch has 1 to 10000 operations, this one has 0"),
        (Batch((Get(b"k"),) * 10_001), "a batch has 1 to 10000 operations, this one has 10001"),
        (Batch((Put(b"k", b"v"), Get(b"k"))), "a batch is all writes or all Gets: split this one"),
        (
            Batch((Get(b"k"), Get(b"k", serializable=True))),
            "the Gets of a batch are all linearizable or all serializable: split this one",
        ),
        (Batch((Put(b"k", b"v"), Put(b"", b"v"))), "operation 1: a key has 1 to 400 bytes, this one has 0"),
        (
            Batch((Delete(b"k", return_previous=True),)),
            "operation 0: the previous value is returned to single commands only: read it with a batch of Gets",
        ),
        (Range(limit=-1), "a range's limit is within 0..10000, this one is -1"),
        (Range(limit=10_001), "a range's limit is within 0..10000, this one is 10001"),
        (Range(prefix=LONGEST + b"kk"), "the bounds of a range have up to 401 bytes, one here has 402"),
        (Range(start=LONGEST + b"kk"), "the bounds of a range have up to 401 bytes, one here has 402"),
        (Range(end=LONGEST + b"kk"), "the bounds of a range have up to 401 bytes, one here has 402"),
        (Range(revision=-1), "a revision is within 0..2^63-1, this one is -1"),
        (Compact(-1), "a revision is within 0..2^63-1, this one is -1"),
    ],
)
def test_a_fault_says_what_is_allowed_and_what_came(request_: Request, fault: str) -> None:
    assert fault_of(request_) == fault


@pytest.mark.parametrize(
    ("request_", "writes", "larger"),
    [
        (Put(b"k", b"v"), True, True),
        (Delete(b"k"), True, False),
        (Get(b"k"), False, False),
        (Batch((Delete(b"k"), Put(b"k", b"v"))), True, True),
        (Batch((Delete(b"k"),)), True, False),  # deletes pass when space is short
        (Compact(7), True, False),  # and so does what makes room
        (Batch((Get(b"k"),)), False, False),
        (Range(), False, False),
        (ClusterStatus(), False, False),
    ],
)
def test_writes_go_through_the_log_and_puts_need_room(request_: Request, writes: bool, larger: bool) -> None:
    assert (is_write(request_), grows(request_)) == (writes, larger)
