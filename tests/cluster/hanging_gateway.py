"""A gateway that hangs the first time that it is started; then the real one."""

import signal
from pathlib import Path

from zraft.actors import gateway
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Logger


def run(launch: Launch, stop: StopSignal, logger: Logger) -> None:
    mark = Path(launch.settings.data_dir).with_name("hung")
    if not mark.exists():
        mark.touch()
        signal.pause()
    gateway.run(launch, stop, logger)
