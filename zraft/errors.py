"""Every error that zraft raises, ordered by what the caller may conclude from it.

::

    ZraftError
    ├── NotExecuted              certainly no effect: it may be repeated freely
    │   ├── Unavailable          no leader, no quorum, or the node is not ready
    │   ├── NotLeader            the leader changed before the command was proposed
    │   └── ResourceExhausted    a bound was reached: requests in flight, space, ...
    ├── Unknown                  may have taken effect, or may still do so
    ├── Rejected                 the answer is final: repeating it gives the same answer
    │   ├── InvalidArgument
    │   ├── PreconditionFailed
    │   ├── Compacted
    │   └── MembershipRefused    this change of members means nobody, or would do harm
    ├── ProtocolError            the two sides do not speak the same protocol, or not of the same cluster
    └── ClientClosed             the client was closed by its own program

    FatalError                   a node stops itself; carries the exit code of its process
    ├── ConfigurationError
    ├── DataDirectoryInUse
    ├── IdentityRefused
    ├── NotYetMember             the cluster has formed without this node: it begins anew, to join
    └── StorageFault
        ├── OutOfSpace           the disk or the map is full: apply waits for room
        ├── SyncFailed           a commit of the log failed: an operator must look at the disk
        ├── CorruptLog           a stored entry does not match its checksum
        ├── CorruptState         a part of the applied state does not match its checksum
        ├── StateDiverged        the applied state is sound, and not what a majority of the voters has
        └── CorruptSnapshot      a snapshot does not match its checksums
    InvariantViolated            a bug of zraft itself, never of its caller

A deadline is a cause, not a class: a request that ran out of time ends as ``NotExecuted`` or as ``Unknown``.
On the wire an error is ``{code, message}``, the code being the class's name; ``from_code`` maps it back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar


class ZraftError(Exception):
    """Base of all errors that a client may see. ``code`` is its name on the wire."""

    code: ClassVar[str] = "ZraftError"

    def __init_subclass__(cls) -> None:
        cls.code = cls.__name__

    @property
    def message(self) -> str:
        """The sentence for people: what happened, and what to do."""
        return str(self)


class NotExecuted(ZraftError):
    """The command certainly had no effect; repeating it is safe."""


class Unavailable(NotExecuted):
    """No leader could be reached, or the node is not ready to serve."""


class NotLeader(NotExecuted):
    """The command was refused because the leader it was meant for leads no more."""


class ResourceExhausted(NotExecuted):
    """A bound was reached (requests in flight, bytes, disk space); try again later or send less."""


class Unknown(ZraftError):
    """The command may have taken effect or may do so later; nobody can tell."""


class Rejected(ZraftError):
    """The answer is final: the same request would be refused again."""


class InvalidArgument(Rejected):
    """The request itself is wrong; the message says what to change."""


class PreconditionFailed(Rejected):
    """The key's mod revision was not the expected one. ``revision``: what it is; 0: there is no such key."""

    def __init__(self, message: str, revision: int = 0) -> None:
        super().__init__(message)
        self.revision = revision


class Compacted(Rejected):
    """The revision asked for has been compacted away."""


class MembershipRefused(Rejected):
    """A change of members that means nobody, or would leave no majority; the message says what to do."""


class ProtocolError(ZraftError):
    """The other side speaks another protocol version, belongs to another cluster, or sent nonsense."""


class ClientClosed(ZraftError):
    """The client object was closed."""


_BY_CODE: dict[str, type[ZraftError]] = {
    kind.code: kind
    for kind in (
        NotExecuted,
        Unavailable,
        NotLeader,
        ResourceExhausted,
        Unknown,
        Rejected,
        InvalidArgument,
        PreconditionFailed,
        Compacted,
        MembershipRefused,
        ProtocolError,
        ClientClosed,
    )
}


def from_code(code: str, message: str, revision: int = 0) -> ZraftError:
    """The error for a code from the wire. A code of a newer server becomes ``Unknown``: the safe conclusion.

    ``revision``: the key's, if it was not the expected one.
    """
    kind = _BY_CODE.get(code)
    if kind is PreconditionFailed:
        return PreconditionFailed(message, revision)
    return kind(message) if kind else Unknown(f"{code}: {message}")


class FatalError(Exception):
    """A node can't go on. ``exit_code`` is that of its process."""

    exit_code: ClassVar[int] = 70


class ConfigurationError(FatalError):
    """A setting is out of its bounds or contradicts another one."""

    exit_code = 2


class DataDirectoryInUse(FatalError):
    """Another process holds the lock on the data directory."""

    exit_code = 73


class IdentityRefused(FatalError):
    """The data directory belongs to another node, cluster or format."""

    exit_code = 74


class NotYetMember(FatalError):
    """The cluster has formed without this node, which is to join it. It never leaves the node: this begins anew."""

    exit_code = 78


class StorageFault(FatalError):
    """The disk can't be trusted, or refused what must not be refused."""

    exit_code = 75


class OutOfSpace(StorageFault):
    """A write found no room, on the disk or in the map. Nothing is lost: the same write may be tried again later."""


class SyncFailed(StorageFault):
    """A commit of the log failed. What the kernel dropped can't be known, so the node stops (S13)."""

    exit_code = 76


class CorruptLog(StorageFault):
    """A stored entry does not match its checksum, or entries are missing."""

    exit_code = 77


class CorruptState(StorageFault):
    """A part of the applied state does not match its checksum, or is missing."""

    exit_code = 77

    def within(self, data_dir: object) -> CorruptState:
        """The same, with where it was found and the way out."""
        return CorruptState(
            f"the state in {data_dir} is damaged: {self}. It serves nobody any more. `zraft repair {data_dir}` sets it "
            "aside, and at the next start it is made anew from snapshot and log"
        )


class StateDiverged(StorageFault):
    """The applied state matches its checksums, and is not what a majority of the voters has at the same index."""

    exit_code = 77

    def within(self, data_dir: object) -> StateDiverged:
        """The same, with where it was found and the way out."""
        return StateDiverged(
            f"{self}. It serves nobody any more, and the node does not start with it. `zraft repair {data_dir}` sets "
            "it aside, and tells how the node comes back"
        )


class CorruptSnapshot(StorageFault):
    """A snapshot is not whole, or does not match its checksums."""

    exit_code = 77


class InvariantViolated(Exception):
    """A rule of the design does not hold: a bug. The process stops before it can do harm."""

    def __init__(self, name: str, **numbers: object) -> None:
        self.name = name
        self.numbers = numbers
        super().__init__(name, numbers)

    def __reduce__(self) -> tuple[Callable[[], InvariantViolated], tuple[()]]:
        return partial(type(self), self.name, **self.numbers), ()

    def __str__(self) -> str:
        facts = " ".join(f"{key}={value}" for key, value in self.numbers.items())
        return f"invariant violated: {self.name} ({facts})"
