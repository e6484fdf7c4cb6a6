"""The synchronous client: what a program calls."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, Self, TypeVar

from zraft.client.arguments import (
    BytesOrText,
    Consistency,
    change_of,
    compact_of,
    delete_of,
    endpoints_of,
    get_of,
    put_of,
    range_of,
    seconds_of,
    transfer_of,
)
from zraft.client.core import Core
from zraft.client.links import Link
from zraft.client.listing import Listing
from zraft.client.operations import Delete, Get, Put, batch_of
from zraft.client.pipeline import Pipeline
from zraft.protocol.requests import ClusterStatus, ListMembers, Request
from zraft.protocol.responses import (
    BatchResult,
    CompactResult,
    DeleteResult,
    GetResult,
    MembersResult,
    PutResult,
    RangeResult,
    Response,
    StatusResult,
    TransferResult,
)
from zraft.store.manifest import Manifest

ENDPOINTS_VARIABLE = "ZRAFT_ENDPOINTS"
LOCAL_ENDPOINTS = ("127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083", "127.0.0.1:8080")
"""The local cluster of ``make run-cluster``, then the single node of ``make run``."""
TIMEOUT_S = 5.0

R = TypeVar("R", bound=Response)


class Client:
    """A connection to a cluster. It may be shared by threads, and used in a forked child.

    A signal's handler may use it too, also in the midst of a call (which other threads' calls may have to wait for), or
    close it. An exception that a handler raises, as Ctrl-C does, leaves it usable wherever it comes; whether a write
    that it interrupts takes effect, nobody knows.

    Keys and values are ``bytes``, ``bytearray``, ``memoryview``, or text, which is encoded as UTF-8. Answers hold
    ``bytes``, whatever was put: the store keeps no types, others may write what is no text, and a type checker can
    rely on it. ``value.decode()`` is the text.

    What a method returns has succeeded. ``success`` and ``error`` in it are the wire's; only among the ``results`` of a
    batch they may tell of a failure, and ``outcomes`` are easier there.

    Every method may raise a ``zraft.ZraftError``: ``NotExecuted`` (certainly no effect; the client has already repeated
    the request until its time was up), ``Unknown`` (a write that may have taken effect, or may still do so),
    ``Rejected`` (final), ``ProtocolError``, or ``ClientClosed``; only ``snapshot`` raises others as well.

    Args:
        endpoints: ``host:port`` of some or all nodes' client ports, as a list or separated by commas. The first
            requests go to the first of them, linearizable ones then straight to the leader. Without any, the
            environment variable ``ZRAFT_ENDPOINTS`` is asked, and then a cluster on this machine is assumed.
        timeout: seconds that any one request may take, repetitions included: above 0, and up to 86,400 (a day). Every
            method that asks the cluster takes a ``timeout`` of its own; None is this one.
        learn_members: whether it asks the cluster for its members now and then, and requests go to them too when the
            endpoints that it was given don't serve. One that answers is enough to start.

    Raises:
        InvalidArgument: an endpoint is not ``host:port``, or the time-out is not above zero, or longer than a day.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] | None = None,
        *,
        timeout: float = TIMEOUT_S,
        learn_members: bool = True,
    ) -> None:
        if endpoints is None:
            endpoints = os.environ.get(ENDPOINTS_VARIABLE) or LOCAL_ENDPOINTS
        self._timeout = seconds_of(timeout)
        self._core = Core(endpoints_of(endpoints), random.random, learn_members)
        self._link = Link()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that it was given, in order."""
        return self._core.endpoints.given

    def put(
        self,
        key: BytesOrText,
        value: BytesOrText,
        *,
        expected_revision: int | None = None,
        return_previous: bool = False,
        timeout: float | None = None,
    ) -> PutResult:
        """Sets a key.

        Args:
            key: 1 to 400 bytes.
            value: the whole request may have 1.5 MiB.
            expected_revision: do so only if this is the key's mod revision; 0: only if there is no such key.
            return_previous: whether the answer holds what was there before.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            PreconditionFailed: the key's mod revision is another one.
        """
        return self._run(put_of(key, value, expected_revision, return_previous), PutResult, timeout=timeout)

    def get(
        self,
        key: BytesOrText,
        *,
        consistency: Consistency = "linearizable",
        revision: int = 0,
        timeout: float | None = None,
    ) -> GetResult:
        """Reads a key; ``found`` is false if there is none.

        Args:
            key: 1 to 400 bytes.
            consistency: ``linearizable`` sees every write that was acknowledged before; ``serializable`` is served by
                the first endpoint that answers, from its own state, which may lag.
            revision: above 0, read the key as it was at that revision.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            Compacted: the revision is no longer kept.
        """
        return self._run(get_of(key, consistency, revision), GetResult, timeout=timeout)

    def delete(
        self,
        key: BytesOrText,
        *,
        expected_revision: int | None = None,
        return_previous: bool = False,
        timeout: float | None = None,
    ) -> DeleteResult:
        """Removes a key; ``found`` tells whether there was one.

        Args:
            key: 1 to 400 bytes.
            expected_revision: do so only if this is the key's mod revision.
            return_previous: whether the answer holds what was there before.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            PreconditionFailed: the key's mod revision is another one.
        """
        return self._run(delete_of(key, expected_revision, return_previous), DeleteResult, timeout=timeout)

    def range(
        self,
        start: BytesOrText = b"",
        end: BytesOrText | None = None,
        *,
        prefix: BytesOrText = b"",
        limit: int = 0,
        consistency: Consistency = "linearizable",
        revision: int = 0,
        keys_only: bool = False,
        timeout: float | None = None,
    ) -> Listing:
        """The keys in order, as one consistent view at one revision, fetched as the iteration goes on.

        That revision is the ``revision`` of what this returns: an iterator of ``KeyValue``.

        Args:
            start: the first key that may be in it.
            end: the first key that is not in it any more; None: there is no end.
            prefix: only keys that begin with it.
            limit: how many at most; 0: all.
            consistency: of the first answer, whose revision all others have; as for ``get``.
            revision: above 0, read the keys as they were at that revision.
            keys_only: leave the values empty.
            timeout: seconds that each answer may take of which it is made up; None: as the client says.

        Raises:
            Compacted: the revision is no longer kept; also in the middle of a slow iteration.
        """
        request = range_of(start, end, prefix, limit, consistency, revision, keys_only)
        seconds = self._seconds(timeout)  # a wrong one is told here, not in the midst of the iteration
        return Listing(lambda page: self._run(page, RangeResult, timeout=seconds), request, limit)

    def batch(
        self,
        operations: Iterable[Put | Delete | Get],
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> BatchResult:
        """Up to 10,000 operations in one message, all of them writes or all of them Gets.

        It is no transaction: writes take effect in order, each with a revision of its own. The ``outcomes`` of what
        this returns are those of the operations, in order, as a pipeline has them: a result, or the ``ZraftError`` that
        the operation had, which nobody raises. It is a failed precondition, or why something can't be read. Of Gets
        whose values come to more than 4 MiB, the last have a ``ResourceExhausted``: ask again.

        Args:
            operations: ``zraft.Put``, ``Delete`` and ``Get``.
            consistency: of Gets, as for ``get``.
            timeout: seconds that it may take, repetitions included; None: as the client says.
        """
        return self._run(batch_of(operations, consistency), BatchResult, timeout=timeout)

    def compact(self, revision: int, *, resume: bool = False, timeout: float | None = None) -> CompactResult:
        """Drops the history before a revision: it can't be read from now on. Nodes also do this by themselves.

        The room that it took is freed soon after, by and by: the answer's ``swept`` tells how far that is.

        Args:
            revision: the oldest that can still be read.
            resume: one that is compacted already is no error, and some more of what it held is removed.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            Compacted: it is compacted already.
            InvalidArgument: it is in the future.
        """
        return self._run(compact_of(revision, resume), CompactResult, timeout=timeout)

    def transfer_leadership(
        self, to: str | None = None, *, endpoint: str | None = None, timeout: float | None = None
    ) -> TransferResult:
        """Has the leader hand over, so that its node can be stopped without a pause; returns who leads now.

        Writes that are in flight are answered: the nodes hold them for the new leader. The leader waits for its
        successor to have every entry, and for its election, up to the largest election time-out each.

        Args:
            to: the name of the member that shall lead; None: one that is ready.
            endpoint: only if this node leads; it is asked once, and nobody else.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            NotLeader: the node of ``endpoint`` does not lead.
            InvalidArgument: that member leads already, is a learner, or there is none of that name, or no other one.
            Unavailable: it does not answer.
            Unknown: nobody was heard to take over in time. The leadership may be handed over, or not, or soon.
        """
        only = "" if endpoint is None else endpoints_of([endpoint])[0]
        return self._run(transfer_of(to), TransferResult, only, timeout=timeout)

    def pipeline(self) -> Pipeline:
        """A queue of operations that are in flight together, each with an outcome of its own: faster than one by one.

        They are independent requests and may take effect in any order, so that a get behind a put may not see it; for
        order, use ``batch``. What is queued and not executed when the ``with`` ends is dropped, and never sent::

            with client.pipeline() as pipeline:
                for key, value in settings.items():
                    pipeline.put(key, value)
                outcomes = pipeline.execute()  # results and errors, in the order of the queue
        """
        return Pipeline(self._core, self._link, self._timeout)

    def members(self, *, timeout: float | None = None) -> MembersResult:
        """The members of the cluster, as the first node that answers knows them.

        Args:
            timeout: seconds that it may take, repetitions included; None: as the client says.
        """
        return self._run(ListMembers(), MembersResult, timeout=timeout)

    def add_member(
        self, name: str, address: str = "", *, member: int = 0, force: bool = False, timeout: float | None = None
    ) -> MembersResult:
        """Adds a member, as a learner; or tells a member's new address.

        A node that was started with ``--join`` does so by itself. To add one that is a member already is no error.

        Args:
            name: of the node.
            address: ``host:port`` of its peer port; empty: as it is known.
            member: the id in its data directory; 0: the member of that name, which must be there.
            force: give a voter an address also if no majority would answer should it be a wrong one.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            MembershipRefused: the name is known with another id, or nobody has announced it; the address is another
                member's, or too few of the other voters answer.
        """
        return self._run(change_of("add", name, address, member, force), MembersResult, timeout=timeout)

    def promote_member(self, name: str, *, force: bool = False, timeout: float | None = None) -> MembersResult:
        """Makes a learner a voter. The leader does so by itself with one that has kept up for a while.

        Args:
            name: of the learner.
            force: also if it has not caught up, or too few voters would answer.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            MembershipRefused: it has not caught up, too few voters would answer, or there is no such member.
        """
        return self._run(change_of("promote", name, force=force), MembersResult, timeout=timeout)

    def remove_member(self, name: str, *, force: bool = False, timeout: float | None = None) -> MembersResult:
        """Removes a member; with its data it never comes back.

        Args:
            name: of the member.
            force: also if too few of the voters that are left answer.
            timeout: seconds that it may take, repetitions included; None: as the client says.

        Raises:
            MembershipRefused: too few of the voters that are left answer, it is the only voter, or there is no such
                member.
        """
        return self._run(change_of("remove", name, force=force), MembersResult, timeout=timeout)

    def status(self, endpoint: str | None = None, *, timeout: float | None = None) -> StatusResult:
        """What one node knows of itself and of its cluster.

        Args:
            endpoint: ``host:port`` of the node that is meant, which is asked once; None: the first that answers.
            timeout: seconds that it may take, repetitions included; None: as the client says.
        """
        only = "" if endpoint is None else endpoints_of([endpoint])[0]
        return self._run(ClusterStatus(), StatusResult, only, timeout=timeout)

    def snapshot(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout: float | None = None,
    ) -> Manifest:
        """Saves a backup of the whole store: a snapshot of one node, of the moment at which it begins.

        The first endpoint that answers gives it, once its own state has every write that was acknowledged before the
        call. It is read chunk by chunk into a temporary file beside ``path``, all checksums are verified, and only
        then, and durable, it gets its name. ``zraft snapshot restore`` makes a cluster of it.

        Args:
            path: the file; one that exists is replaced at the end.
            progress: is told (bytes done, bytes in all) now and then.
            timeout: seconds that each chunk may take; None: as the client says.

        Returns:
            What the snapshot holds, a ``zraft.Manifest``: its index, revision, size and checksums.

        Raises:
            Unavailable: there is no leader, or no node gives a backup.
            ResourceExhausted: the nodes are giving a backup to somebody else.
            zraft.errors.CorruptSnapshot: what arrived does not match its checksums.
            OSError: the file can't be written.
        """
        from zraft.client.backup import save  # loads LMDB, which no other method needs

        seconds = self._seconds(timeout)
        ask = partial(self._run, timeout=seconds)
        return save(ask, self.endpoints, seconds, Path(path), progress or (lambda done, whole: None))

    def close(self) -> None:
        """Closes all connections. Requests that other threads have in flight end at once; later ones are refused."""
        self._link.close()

    def __repr__(self) -> str:
        return f"Client({','.join(self.endpoints)!r}, timeout={self._timeout:g})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client can't be pickled or copied: make another one of its endpoints (a fork may use it)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self, request: Request, answer: type[R], only: str = "", *, timeout: float | None) -> R:
        return self._link.run(self._core.call(request, answer, time.monotonic(), self._seconds(timeout), only))

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else seconds_of(timeout)
