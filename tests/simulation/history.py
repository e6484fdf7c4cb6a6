"""All that was ever written, by a model that knows of no compaction: what a read must give, at any revision."""

from bisect import bisect_right, insort
from collections import defaultdict

from zraft.core.records import key_value, read_record_key, unpack_record
from zraft.protocol.requests import Get, Range
from zraft.protocol.responses import GetResult, KeyValue, RangeResult


class History:
    """Fed with the records of the truth, in their order."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._items: dict[bytes, list[tuple[int, KeyValue | None]]] = defaultdict(list)
        self._written: dict[int, tuple[bytes, bytes]] = {}

    def add(self, at: bytes, data: bytes) -> None:
        revision, sub = read_record_key(at)
        record = unpack_record(revision, sub, data)
        if record.key not in self._items:
            insort(self._keys, record.key)
        self.records[at] = data
        self._items[record.key].append((revision, key_value(revision, record) if record.version else None))
        self._written[revision] = (record.key, record.value)

    def written_at(self, revision: int) -> tuple[bytes, bytes] | None:
        """(key, value) of a revision."""
        return self._written.get(revision)

    def get(self, request: Get, now: int) -> GetResult:
        """The answer of a store at revision ``now``."""
        item = self._item(request.key, request.revision or now)
        if item is None:
            return GetResult(False, None, None, now)
        return GetResult(True, item.value, None, now, item.create_revision, item.mod_revision, item.version)

    def range(self, request: Range, now: int) -> RangeResult:
        revision = request.revision or now
        keys = [key for key in self._keys if key.startswith(request.prefix) and key >= request.start]
        found = [self._item(key, revision) for key in keys]
        items = tuple(item for item in found if item is not None)
        more = request.limit > 0 and len(items) > request.limit
        shown = items[: request.limit] if more else items
        return RangeResult(shown, more, items[request.limit].key if more else b"", revision)

    def _item(self, key: bytes, revision: int) -> KeyValue | None:
        items = self._items.get(key, [])
        before = bisect_right(items, revision, key=lambda item: item[0])
        return items[before - 1][1] if before else None
