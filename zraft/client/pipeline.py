"""A pipeline: many operations that a program has at hand, in flight together, each with a result of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import partial
from typing import NoReturn, Self, cast

from zraft.client.arguments import BytesOrText, Consistency, delete_of, get_of, put_of, seconds_of
from zraft.client.core import Core
from zraft.client.dealer_link import DealerLink
from zraft.client.links import Link
from zraft.client.operations import Delete, Get, Put, batch_of
from zraft.client.steps import Return
from zraft.errors import InvalidArgument, ZraftError
from zraft.protocol.requests import Request
from zraft.protocol.responses import BatchResult, DeleteResult, GetResult, PutResult, Response

REQUESTS_MAX = 1_000
"""How many requests are in flight at most, and their bytes: well within what a node lets one connection have."""
BYTES_MAX = 16 << 20

Outcome = PutResult | DeleteResult | GetResult | BatchResult | ZraftError


class Pipeline:
    """Queues operations, and runs them together. Made by ``Client.pipeline``; it belongs to one thread.

    The operations are independent requests that travel together: each succeeds or fails for itself, and they may take
    effect in any order, even on the same key. Where order matters, use a batch.
    """

    def __init__(self, core: Core, link: Link, timeout: float) -> None:
        self._core = core
        self._link = link
        self._timeout = timeout
        self._queue: list[tuple[Request, type[Response]]] = []
        self._dealer: DealerLink[tuple[int, int]] | None = None
        self._inherited: list[DealerLink[tuple[int, int]]] = []

    def __len__(self) -> int:
        """How many operations wait for ``execute``."""
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self)} operations, to {','.join(self._core.endpoints.given)}>"

    def put(
        self,
        key: BytesOrText,
        value: BytesOrText,
        *,
        expected_revision: int | None = None,
        return_previous: bool = False,
    ) -> Self:
        """Queues what ``Client.put`` does."""
        return self._add(put_of(key, value, expected_revision, return_previous), PutResult)

    def get(self, key: BytesOrText, *, consistency: Consistency = "linearizable", revision: int = 0) -> Self:
        """Queues what ``Client.get`` does."""
        return self._add(get_of(key, consistency, revision), GetResult)

    def delete(self, key: BytesOrText, *, expected_revision: int | None = None, return_previous: bool = False) -> Self:
        """Queues what ``Client.delete`` does."""
        return self._add(delete_of(key, expected_revision, return_previous), DeleteResult)

    def batch(self, operations: Iterable[Put | Delete | Get], *, consistency: Consistency = "linearizable") -> Self:
        """Queues what ``Client.batch`` does: operations that take effect in order, as one request."""
        return self._add(batch_of(operations, consistency), BatchResult)

    def execute(self, *, timeout: float | None = None) -> list[Outcome]:
        """Runs all that is queued, and returns one outcome for each, in order: its result, or the error that it had.

        Up to 1,000 requests are in flight at once. The queue is empty afterwards and may be filled again.

        Args:
            timeout: seconds that each request may take, from when it is begun; None: as the client says.

        Raises:
            InvalidArgument: the time-out is not above zero, or longer than a day. All that is queued still is.
            ClientClosed: the client was closed; perhaps just now, and the outcome of what was queued is unknown.
        """
        seconds = self._timeout if timeout is None else seconds_of(timeout)
        dealer = self._connected()
        # It is kept only after a whole run: answers of one that is interrupted must not be taken for those of the next.
        self._dealer = None
        queue, self._queue = self._queue, []
        try:
            outcomes = self._link.calling(partial(self._run, queue, dealer, seconds))
        except BaseException:
            dealer.close()
            raise
        self._dealer = dealer
        return outcomes

    def close(self) -> None:
        """Drops what is queued, and closes the connections."""
        self._queue.clear()
        dealer = self._dealer
        if dealer is not None and dealer.pid == os.getpid():
            dealer.close()
            self._dealer = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Pipeline can't be pickled or copied: make another one of a client")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _add(self, request: Request, answer: type[Response]) -> Self:
        self._queue.append((request, answer))
        return self

    def _connected(self) -> DealerLink[tuple[int, int]]:
        lock, dealer = self._link.lock, self._dealer
        if dealer is not None and dealer.pid != os.getpid():
            # What was inherited by a fork is kept, and never closed: that is the parent's to do.
            self._inherited.append(dealer)
            dealer = None
        elif dealer is not None and dealer.has_ended:
            dealer.close()  # which was interrupted
            dealer = None
        return dealer or DealerLink(lock, self._link.is_closed)

    def _run(
        self, queue: list[tuple[Request, type[Response]]], link: DealerLink[tuple[int, int]], timeout: float
    ) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        waiting = enumerate(queue)
        bytes_in_flight = 0
        while len(outcomes) < len(queue):
            while link.in_flight < REQUESTS_MAX and bytes_in_flight < BYTES_MAX and (one := next(waiting, None)):
                place, (request, answer) = one
                now = time.monotonic()
                try:
                    call = self._core.call(request, answer, now, timeout)
                except InvalidArgument as error:
                    outcomes[place] = error
                    continue
                link.start(call, (place, call.size), now)
                bytes_in_flight += call.size
            for (place, size), end in link.wait():
                # The call has checked that the answer is of the type asked for.
                outcomes[place] = cast(Outcome, end.response) if isinstance(end, Return) else end.exception()
                bytes_in_flight -= size
        return [outcomes[place] for place in range(len(queue))]
