"""Reads: what a Get or a Range finds in one consistent view of the tables."""

from __future__ import annotations

from collections.abc import Iterator

from zraft.core.durable import Tables
from zraft.core.records import APPLIED, Record, key_value, read_applied, record_key, unpack_meta, unpack_record
from zraft.errors import Compacted, CorruptState, InvalidArgument, InvariantViolated, ResourceExhausted, Unavailable
from zraft.protocol.entries import EntryId
from zraft.protocol.requests import RANGE_ITEMS_MAX, Batch, Get, Range
from zraft.protocol.responses import (
    REPLY_BYTES_MAX,
    BatchResult,
    ErrorInfo,
    ErrorResult,
    GetResult,
    KeyValue,
    RangeResult,
)

KEYS_LOOKED_AT_MAX = 50_000
"""A range looks at no more keys in one view, deleted ones among them: a read transaction must be short."""
RECORDS_WALKED_MAX = 100_000
"""A request at an older revision passes over no more records that are newer, of all its keys."""
BYTES_WALKED_MAX = 1 << 30
"""Nor does it go on behind so many bytes of them: each is read and checked on the way from a key's newest one."""


_Place = tuple[int, int, bool]
"""Where a record stands: (revision, sub number), or stood, if the last is true: it may have been swept.

A plain tuple: one is made for every key that is read.
"""


class _TooFar(Exception):
    """What is asked for lies behind more records than one request may pass over."""


WALKED_ENOUGH = f"one request passes over {RECORDS_WALKED_MAX} newer records at most: ask again for this"


def _too_far(key: bytes) -> ErrorInfo:
    return ErrorInfo(
        InvalidArgument.code,
        f"key {key!r} has more newer revisions than one request may pass over, {RECORDS_WALKED_MAX} and "
        f"{BYTES_WALKED_MAX >> 20} MiB: ask for a newer one",
    )


class View:
    """One consistent view: everything up to ``applied`` and nothing behind it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.applied: EntryId
        self.applied, self.revision, self.compacted, _, _ = read_applied(tables.meta(APPLIED))
        self._walked = self._walked_bytes = 0

    def answer(self, request: Get | Range | Batch) -> GetResult | RangeResult | BatchResult | ErrorResult:
        """The answer to a read that passed ``limits.fault_of``.

        Raises:
            CorruptState: what it would show is damaged. It is shown to nobody.
        """
        self._walked = self._walked_bytes = 0
        match request:
            case Get():
                return self.get(request)
            case Range():
                return self.range(request)
            case Batch():
                return self.batch(request)

    def get(self, request: Get) -> GetResult:
        """One key, now or at a revision."""
        error = self._fault_of_revision(request.revision, request.serializable)
        if error:
            return GetResult(False, None, error, self.revision)
        try:
            place = self._place(request.key, request.revision)
        except _TooFar:
            return GetResult(False, None, _too_far(request.key), self.revision)
        return self._result(place)

    def _result(self, place: _Place | None) -> GetResult:
        record = self._record_at(place)
        if place is None or record is None:
            return GetResult(False, None, None, self.revision)
        mod = place[0]
        return GetResult(True, record.value, None, self.revision, record.create, mod, record.version, record.lease)

    def batch(self, request: Batch) -> BatchResult:
        """Several keys of the same view; values beyond ``REPLY_BYTES_MAX`` in all are left to another request."""
        error = ErrorInfo(ResourceExhausted.code, f"the answer has {REPLY_BYTES_MAX} bytes: ask again for this")
        too_much = GetResult(False, None, error, self.revision)
        results: list[GetResult] = []
        size = 0
        for found in self._places(request):
            if size > REPLY_BYTES_MAX:
                result = too_much  # a value is not copied in vain
            elif isinstance(found, ErrorInfo):
                result = GetResult(False, None, found, self.revision)
            else:
                result = self._result(found)
            size += len(result.value or b"")
            if size > REPLY_BYTES_MAX:
                result = too_much
            results.append(result)
        return BatchResult(tuple(results), 0, self.revision)

    def _places(self, request: Batch) -> list[_Place | ErrorInfo | None]:
        """Where the record stands that each Get of a batch is to show.

        From the newest revision back, so that what one Get has passed over is passed over for all of its key.
        """
        places: list[_Place | ErrorInfo | None] = [None] * len(request.operations)
        reached: dict[bytes, _Place] = {}
        newest_first: list[tuple[int, int, Get]] = []
        for number, operation in enumerate(request.operations):
            if not isinstance(operation, Get):
                raise InvariantViolated("a batch that is read holds Gets only", operation=type(operation).__name__)
            if error := self._fault_of_revision(operation.revision, operation.serializable):
                places[number] = error
            else:
                newest_first.append((-(operation.revision or self.revision), number, operation))
        for _, number, one in sorted(newest_first, key=lambda get: get[:2]):
            walked = self._walked
            try:
                place = self._place(one.key, one.revision, reached.get(one.key) if one.revision else None)
            except _TooFar:
                # With all the room, as the first one of its request, it could be answered, or never.
                places[number] = ErrorInfo(ResourceExhausted.code, WALKED_ENOUGH) if walked else _too_far(one.key)
            else:
                places[number] = place
                if place is not None and one.revision:
                    reached[one.key] = place
        return places

    def range(self, request: Range) -> RangeResult | ErrorResult:
        """Keys in order, as many as the limits allow, with where to go on."""
        error = self._fault_of_revision(request.revision, request.serializable)
        if error:
            return ErrorResult(error.code, error.message)
        revision = request.revision or self.revision
        items: list[KeyValue] = []
        size = 0
        for looked_at, (key, data) in enumerate(self._keys(request)):
            if looked_at >= KEYS_LOOKED_AT_MAX:
                return RangeResult(tuple(items), True, key, revision)
            walked = self._walked
            try:
                item = self._item(key, data, revision, request.keys_only)
            except _TooFar:
                if walked:
                    return RangeResult(tuple(items), True, key, revision)
                error = _too_far(key)
                return ErrorResult(error.code, error.message)
            if item is None:
                continue
            if len(items) >= (request.limit or RANGE_ITEMS_MAX) or size >= REPLY_BYTES_MAX:
                return RangeResult(tuple(items), True, key, revision)
            items.append(item)
            size += len(item.key) + len(item.value) + 32
        return RangeResult(tuple(items), False, b"", revision)

    def _keys(self, request: Range) -> Iterator[tuple[bytes, bytes]]:
        prefix, end = request.prefix, request.end
        for key, data in self._tables.keys_from(max(prefix, request.start)):
            if (end is not None and key >= end) or not key.startswith(prefix):
                return
            yield key, data

    def _item(self, key: bytes, data: bytes, revision: int, keys_only: bool) -> KeyValue | None:
        """What a range shows of a key, from its index entry; None: it was not there."""
        mod, _, create, version, lease = unpack_meta(key, data)
        if keys_only and version and mod <= revision:
            return KeyValue(key, b"", create, mod, version, lease)  # no value need be copied
        place = self._place_from(key, data, revision)
        record = self._record_at(place)
        if place is None or record is None:
            return None
        return key_value(place[0], record._replace(value=b"") if keys_only else record)

    def _place(self, key: bytes, revision: int, begin: _Place | None = None) -> _Place | None:
        """Where the record of a key at a revision (0: now) stands; from ``begin`` on back, which is not older."""
        if begin is not None:
            return self._back_to(revision, begin)
        data = self._tables.key(key)
        return None if data is None else self._place_from(key, data, revision)

    def _place_from(self, key: bytes, data: bytes, revision: int) -> _Place | None:
        mod, sub, _, version, _ = unpack_meta(key, data)
        if not revision or mod <= revision:
            return (mod, sub, False) if version else None
        return self._back_to(revision, (mod, sub, False))

    def _back_to(self, revision: int, place: _Place) -> _Place | None:
        while place[0] > revision:
            record = self._record(place)
            if record is None or not record.previous:
                return None
            self._walk(record)
            # What was swept below a record that is still to be read can only have been a deletion.
            place = record.previous, record.previous_sub, record.previous < self.compacted
        return place

    def _record_at(self, place: _Place | None) -> Record | None:
        """The record that stands there, unless it is a deletion."""
        record = self._record(place) if place is not None else None
        return record if record is not None and record.version else None

    def _walk(self, passed: Record) -> None:
        if self._walked >= RECORDS_WALKED_MAX or self._walked_bytes >= BYTES_WALKED_MAX:
            raise _TooFar
        self._walked += 1
        self._walked_bytes += len(passed.value)

    def _record(self, place: _Place) -> Record | None:
        mod, sub, may_be_swept = place
        data = self._tables.record(record_key(mod, sub))
        if data is not None:
            return unpack_record(mod, sub, data)
        if not may_be_swept:
            raise CorruptState(f"the record of revision {mod}/{sub} is missing")
        return None

    def _fault_of_revision(self, revision: int, serializable: bool) -> ErrorInfo | None:
        if 0 < revision < self.compacted:
            return ErrorInfo(
                Compacted.code, f"revision {revision} is compacted: the oldest that can be read is {self.compacted}"
            )
        if revision <= self.revision:
            return None
        if serializable:  # others may be there already
            return ErrorInfo(
                Unavailable.code, f"this node is at revision {self.revision}, behind {revision}: try again"
            )
        return ErrorInfo(
            InvalidArgument.code, f"revision {revision} is in the future: this state is at {self.revision}"
        )
