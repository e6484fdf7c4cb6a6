"""A process that writes a store until it is refused: `store_writer log|state|plain-state DIRECTORY`.

A plain state is written by system calls, as on a file system that is not known to write in place.

It prints the number of each commit when it has returned. After an error of a commit it tries one more, which it must
not be granted, and ends with the error's exit code.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from zraft.core.records import record_key
from zraft.errors import FatalError
from zraft.protocol.entries import NO_ORIGIN, EntryKind, encode_entry
from zraft.store import growing
from zraft.store.log import LmdbLog
from zraft.store.state import LmdbState

MEMBER = 7
MAP_SIZE = 1 << 40
COMMITS = 6


def entry(index: int) -> bytes:
    return encode_entry(index, 1, EntryKind.COMMANDS, NO_ORIGIN, bytes(10_000))


def stored(path: Path) -> list[bytes]:
    """The entries of a log that nobody has open."""
    log = LmdbLog(path, MEMBER, MAP_SIZE)
    entries = log.entries(1, 1 << 40)
    log.close()
    return entries


def write_log(path: Path) -> Callable[[int], None]:
    log = LmdbLog(path, MEMBER, MAP_SIZE)

    def commit(number: int) -> None:
        if number <= COMMITS:
            log.append(number, [entry(number)])
        else:
            log.set_term(number, 0)
        log.commit()

    return commit


def write_state(path: Path) -> Callable[[int], None]:
    state = LmdbState(path, MAP_SIZE)

    def commit(number: int) -> None:
        state.append_records([(record_key(number, 0), bytes(10_000))])
        state.commit()

    return commit


def write_plain_state(path: Path) -> Callable[[int], None]:
    growing.IN_PLACE = frozenset()
    return write_state(path)


def main(store: str, path: Path) -> int:
    try:
        commit = {"log": write_log, "state": write_state, "plain-state": write_plain_state}[store](path)
    except FatalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for number in range(1, COMMITS + 1):
        try:
            commit(number)
        except FatalError as error:
            print(type(error).__name__, error, file=sys.stderr)
            if store == "log":
                refused_again(lambda: commit(COMMITS + 1))
            return error.exit_code
        print(number)
    return 0


def refused_again(commit: Callable[[], None]) -> None:
    try:
        commit()
    except FatalError:
        return
    print("a commit was granted after one that failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
