"""A process that flips one bit of a state after the other, and tells what a scan makes of each: a line for each place.

Each scan is in a child of its own, as LMDB may crash over what it finds. In the test's own process there are threads,
beside which none may be forked; and a new one for each bit would take longer than all else.
"""

import os
import sys
from pathlib import Path

import lmdb

from tests.unit.store.stored import MAP, flip
from zraft.errors import CorruptState
from zraft.store.soundness import CRASHES, scan_state

FOUND, HARMLESS, BELIEVED = "found", "harmless", "believed"


def content(path: Path) -> list[list[tuple[bytes, bytes]]]:
    """All that a reader finds there."""
    with lmdb.open(str(path), max_dbs=8, map_size=MAP, readonly=True, lock=False) as env, env.begin() as txn:
        tables = [env.open_db(name, txn=txn, create=False) for name in (b"meta", b"keys", b"records")]
        return [list(txn.cursor(table)) for table in tables]


def judge(path: Path, whole: list[list[tuple[bytes, bytes]]]) -> str:
    """Found: damage, or the end of LMDB. Harmless: of a page that nothing leads to any more. Believed: neither."""
    child = os.fork()
    if not child:
        code = 1
        try:
            scan_state(path, MAP)
            code = 3 if content(path) == whole else 1
        except CorruptState:
            code = 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return FOUND if code == 2 or -code in CRASHES else HARMLESS if code == 3 else BELIEVED


def main(path: Path, places: list[int]) -> None:
    whole = content(path)
    for place in places:
        flip(path / "data.mdb", place, bit=4)
        print(judge(path, whole), flush=True)
        flip(path / "data.mdb", place, bit=4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(place) for place in sys.argv[2:]])
