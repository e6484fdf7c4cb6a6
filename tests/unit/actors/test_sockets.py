"""What an actor finds in its queues when it looks."""

from contextlib import closing
from pathlib import Path

from tests.unit.actors.kept import KeptSockets
from tests.waiting import wait_until
from zraft.actors.sockets import drain, send, taken


def test_what_was_taken_since_the_last_question_is_counted(tmp_path: Path) -> None:
    with closing(KeptSockets()) as sockets:
        here = sockets.bind_local(f"ipc://{tmp_path}/link")
        there = sockets.connect_local(f"ipc://{tmp_path}/link")
        for _ in range(5):
            send(there, [b"message"])
        taken()  # of other tests in this process
        found: list[bytes] = []

        def all_came() -> bool:
            found.extend(frame for (frame,) in drain(here, most=2))
            return len(found) == 5

        wait_until(all_came, 10, "five messages")
        assert taken() == 5
        assert list(drain(here, most=2)) == []
        assert taken() == 0
