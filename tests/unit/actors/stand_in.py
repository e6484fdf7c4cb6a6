"""An actor that does what the tests of the supervisor tell it, by files in the data directory.

It publishes what the real actor of its name would, so that the node becomes ready; a file ``<actor>.<order>`` makes it
end in a certain way, and goes away with the order. The order ``deaf`` stays, and ``<actor>.deafened`` says that it is
obeyed.
"""

import os
import select
import time
from pathlib import Path

from zraft.actors.beat import Beat
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger
from zraft.errors import ConfigurationError, InvariantViolated, NotYetMember, SyncFailed
from zraft.protocol.codec import encode
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.local import CommitGroup, IdentityGroup, RoleGroup, StorageGroup
from zraft.store.page import Group, Page

ME = 0xAB
ERRORS = {
    "sync": SyncFailed("fdatasync: EIO"),
    "setting": ConfigurationError("a setting is wrong"),
    "outside": NotYetMember("others have formed"),
    "bug": InvariantViolated("one and one is two", sum=3),
    "crash": KeyError("nobody expected it"),
}


def run(launch: Launch, stop: StopSignal, logger: Logger) -> None:
    data = Path(launch.settings.data_dir)
    page = launch.open_page()
    publish(page, logger.actor)
    beat = Beat(page, logger.actor)
    (data / f"{logger.actor}.launched").write_text(f"{os.getpid()} {launch.incarnation:016x} {launch.lock is not None}")
    while not stop.requested:
        for order, error in ERRORS.items():
            if (data / f"{logger.actor}.{order}").exists():
                (data / f"{logger.actor}.{order}").unlink()
                raise error
        readable = [stop]
        if (data / f"{logger.actor}.deaf").exists():
            (data / f"{logger.actor}.deafened").touch()
            readable = []
        beat.tick(time.monotonic())
        select.select(readable, [], [], 0.02)
        stop.requested = stop.requested and bool(readable)
    with (data / "stopped").open("a") as stopped:
        stopped.write(f"{logger.actor}\n")


def publish(page: Page, actor: str) -> None:
    match actor:
        case "election":
            page.publish(Group.ROLE, encode(RoleGroup(term=3, role="leader", leader=ME)))
        case "replication":
            page.publish(Group.COMMIT, encode(CommitGroup(term=3, commit=8)))
        case "storage":
            members = (Member(ME, "node-1"), Member(0xCD, "node-2"))
            page.publish(Group.IDENTITY, encode(IdentityGroup(ME, b"\x11" * 16, Configuration(0, members))))
            page.publish(
                Group.STORAGE, encode(StorageGroup(0, 3, first=1, last=9, commit=7, applied=6, revision=5, space=0))
            )
