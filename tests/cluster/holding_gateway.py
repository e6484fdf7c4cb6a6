"""A gateway that, the first time it is started, begins a view of the state and hangs; then the real one."""

import signal
from pathlib import Path

import msgspec

from tests.waiting import wait_until
from zraft.actors import gateway
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Log
from zraft.protocol.local import StorageGroup
from zraft.store.directory import DataDirectory
from zraft.store.page import Group
from zraft.store.state import StateView

WAIT_S = 60.0


def run(launch: Launch, stop: StopSignal, log: Log) -> None:
    settings = launch.settings
    mark = Path(settings.data_dir).with_name("held")
    if not mark.exists():
        mark.touch()
        page = launch.open_page()
        published = wait_until(lambda: page.load(Group.STORAGE), WAIT_S, "storage to open the state")
        generation = msgspec.msgpack.decode(published, type=StorageGroup).generation
        view = StateView(DataDirectory(settings.data_path()).state_path(generation), settings.map_size_gib << 30)
        with view.begin():
            signal.pause()
    gateway.run(launch, stop, log)
