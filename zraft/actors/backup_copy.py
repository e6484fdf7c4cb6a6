"""The child of a gateway that copies the state into a file for a backup, at full speed, while the gateway serves."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from zraft.actors.process import die_with_parent
from zraft.errors import StorageFault
from zraft.protocol import codec
from zraft.store.snapshots import write_snapshot


def main(arguments: list[str]) -> int:
    """Arguments: the parent's process id, the state, the file, the map's bytes, the cluster's record in hex or ``-``.

    Returns:
        0, or 75 after a sentence on stderr.
    """
    parent, state, target, map_size, record = arguments
    die_with_parent(int(parent))
    cluster = None if record == "-" else codec.cluster_record.decode(bytes.fromhex(record))
    try:
        write_snapshot(Path(state), Path(target), int(map_size), cluster, time.time())
    except StorageFault as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
