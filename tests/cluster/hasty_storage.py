"""The storage actor, which looks after readers all the time."""

from zraft.actors import storage
from zraft.actors.launch import Launch, StopSignal
from zraft.actors.logs import Log


def run(launch: Launch, stop: StopSignal, log: Log) -> None:
    storage.READER_CHECK_SECONDS = 0.1
    storage.run(launch, stop, log)
