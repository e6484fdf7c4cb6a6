"""The product's own checked load, for tests: what is wrong with it, or with what it was told, fails the test."""

from collections.abc import Sequence
from typing import Self

from tests.waiting import wait_until
from zraft.verify import CheckedLoad, LoadSettings, check

CLIENTS = 4
TIMEOUT_S = 2.0
PROGRESS_S_MAX = 60.0


class Load(CheckedLoad):
    """Clients that write and read until they are stopped; a context manager, and reusable."""

    def __init__(self, endpoints: Sequence[str], prefix: str = "load", value_bytes: int = 32) -> None:
        of_its_own = {"clients": CLIENTS, "timeout": TIMEOUT_S, "value_bytes": value_bytes}
        super().__init__(LoadSettings(endpoints=tuple(endpoints), prefix=f"{prefix}/", **of_its_own))  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        super().__enter__()
        self.wait_for_progress()
        return self

    def wait_for_progress(self, writes: int = 5) -> None:
        """Returns when each client has had so many more writes acknowledged."""
        begin = tuple(self.acknowledged)

        def done() -> bool:
            assert self.errors == []
            return all(now - then > writes for now, then in zip(self.acknowledged, begin, strict=True))

        wait_until(done, PROGRESS_S_MAX, f"{writes} more acknowledged writes of each client")

    def verify(self) -> None:
        """The history is linearizable, and all that was acknowledged is there. Not while clients run."""
        self.read_back()
        assert check(self.history).violations == ()
