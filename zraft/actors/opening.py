"""Storage's first act: opening the stores. Once in the life of a node, it verifies what it finds in them.

It does so again when a storage has ended in a way that damage of the state may have caused.
"""

from __future__ import annotations

import secrets

from zraft.actors import metrics
from zraft.actors.clock import clock
from zraft.actors.launch import Launch, verified_path
from zraft.actors.logs import Logger
from zraft.errors import StateDiverged
from zraft.store.directory import DataDirectory
from zraft.store.fault import pending_divergence
from zraft.store.recovery import Stores, open_stores

TELL_SECONDS = 5.0
"""Between two lines of the log about how far the verification is."""


def open_for(launch: Launch, directory: DataDirectory, logger: Logger) -> Stores:
    """The stores of the node. When the trio is started again, mostly only processes died: nothing is verified anew.

    Raises:
        CorruptLog: the log is damaged.
        CorruptState: the state is damaged; says how it is made anew.
        IdentityRefused: a store has a format that this version does not know.
        StateDiverged: the leader found that the state is not what a majority has, and nobody has acted since.
        StorageFault: the disk refused.
    """
    diverged = pending_divergence(directory)
    if diverged is not None:
        raise StateDiverged(diverged).within(directory.path)
    begun = clock()
    # The supervisor empties the runtime directory when the node starts.
    verified = verified_path(launch.runtime)

    def tell(done: int, whole: int) -> None:
        if clock() - begun >= TELL_SECONDS:
            logger.every(TELL_SECONDS, "the state is being verified", bytes=done, of=whole)

    stores = open_stores(
        directory,
        secrets.randbits(64) or 1,
        launch.settings.map_size_gib << 30,
        metrics.log_sync_seconds.observe,
        verify=not verified.exists(),
        progress=tell,
    )
    verified.touch()
    if stores.rebuilt:
        logger.warning("the applied state is rebuilt from the log", why=stores.rebuilt, begins_at=stores.applied.index)
    logger.info("stores opened", applied=stores.applied.index, seconds=round(clock() - begun, 3))
    return stores
