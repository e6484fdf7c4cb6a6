"""What all tests of single modules share: states that take little room."""

from collections.abc import Iterator

import pytest

from zraft.store import growing

STEP_BYTES = 8 << 20


@pytest.fixture(scope="module", autouse=True)
def small_states() -> Iterator[None]:
    """The file of a state is 9 MiB, not 65: what copies it at each line of a module, or looks for a key in it, is fast.

    Of a module: its fixtures make states as well.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "STEP_BYTES_MAX", STEP_BYTES)
        yield
