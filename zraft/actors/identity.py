"""Who speaks to whom: the header of every peer message, made and checked in one place."""

from __future__ import annotations

import struct

import google_crc32c

from zraft.actors.sockets import Frames
from zraft.errors import ProtocolError
from zraft.protocol.codec import encode, peer_header
from zraft.protocol.entries import Configuration
from zraft.protocol.peer import HEADER_BYTES_MAX, PEER_VERSION, PeerHeader

ROUTES_MAX = 1_024
"""So many members' ways are known: a cluster has far fewer, but whoever reaches the port may claim to be many."""

HEADERS_MAX = 1_024
"""So many are remembered; then it begins anew."""

_U32 = 0xCE
_SEAL = struct.Struct(">BI")
"""The last field of a header, as MessagePack has it: ``_U32``, and the checksum."""


class Identity:
    """This node among the members of its cluster, once that has formed."""

    def __init__(self, me: int, cluster: bytes, configuration: Configuration, incarnation: int) -> None:
        self.me = me
        self.incarnation = incarnation
        self._cluster = cluster
        self._names: dict[int, str] = {}
        self.meet(configuration)
        self._headers: dict[tuple[int, int], bytes] = {}

    def meet(self, configuration: Configuration) -> None:
        """The members have changed."""
        self._names = {member.id: member.name for member in configuration.members}

    def name_of(self, member: int) -> str:
        """The name under which a member's address is known; empty for a stranger."""
        return self._names.get(member, "")

    def header_to(self, member: int, incarnation: int | None = None) -> bytes:
        """The header of a request to ``member``, or of an answer to its ``incarnation``: what ``seal`` takes."""
        key = (member, self.incarnation if incarnation is None else incarnation)
        header = self._headers.get(key)
        if header is None:
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            header = self._headers[key] = unsealed(PeerHeader(PEER_VERSION, self._cluster, self.me, *key))
        return header

    def check(self, head: bytes, message: bytes) -> PeerHeader:
        """The header in ``head``, if it and its ``message`` come whole from another node of this cluster to this one.

        The sender need not be in the configuration that this node knows: a new leader may be one that was added while
        this node was away, and nobody else could tell it so. Votes, acknowledgements and copies count only if it is.

        Raises:
            ProtocolError: damaged, another version or cluster, or a message for somebody else; says which.
        """
        header = _opened(head, message)
        self._check(header)
        return header

    def check_answer(self, head: bytes, message: bytes) -> PeerHeader:
        """As ``check``, for an answer: it must be to this incarnation (S1)."""
        header = self.check(head, message)
        if header.incarnation != self.incarnation:
            raise ProtocolError(f"answer to incarnation {header.incarnation:016x}, which is gone")
        return header

    def _check(self, header: PeerHeader) -> None:
        _check_version(header)
        if header.cluster != self._cluster:
            raise ProtocolError(f"message of cluster {header.cluster.hex()}, this is {self._cluster.hex()}")
        if header.target != self.me:
            raise ProtocolError(f"message for member {header.target:016x}, this is {self.me:016x}")
        if not header.sender:
            raise ProtocolError("message in the name of member 0, which is nobody")
        if header.sender == self.me:  # what this node says to itself takes other ways, and is believed
            raise ProtocolError(f"message in the name of member {self.me:016x}, which is this node")


def check_hello(head: bytes, message: bytes) -> PeerHeader:
    """The header of a Hello: its sender may belong to any cluster, or to none yet, but must speak our protocol.

    Raises:
        ProtocolError: it does not, or the Hello was damaged.
    """
    header = _opened(head, message)
    _check_version(header)
    return header


def unsealed(header: PeerHeader) -> bytes:
    """A header without its checksum, which depends on the message: what ``seal`` takes."""
    return encode(header)[:-1]


def seal(header: bytes, message: bytes) -> Frames:
    """The frames of a message. Entries and snapshots have checksums of their own; a term or an index has this one."""
    return [header + _SEAL.pack(_U32, _checksum(header, message)), message]


class Routes:
    """Where each member's last request came from, and its incarnation: there, and to that one, its answer goes."""

    def __init__(self) -> None:
        self._routes: dict[int, tuple[bytes, int]] = {}

    def note(self, header: PeerHeader, route: bytes) -> None:
        """A request came that way. Who has been silent for longest is forgotten, where there are too many."""
        self._routes.pop(header.sender, None)
        self._routes[header.sender] = (route, header.incarnation)
        if len(self._routes) > ROUTES_MAX:
            del self._routes[next(iter(self._routes))]

    def to(self, member: int) -> tuple[bytes, int]:
        """(route, incarnation) for an answer; a route that leads nowhere if none is known."""
        return self._routes.get(member, (b"", 0))


def _opened(head: bytes, message: bytes) -> PeerHeader:
    if len(head) > HEADER_BYTES_MAX:  # it is shown in the log
        raise ProtocolError(f"a header has up to {HEADER_BYTES_MAX} bytes, this one has {len(head)}")
    header = peer_header.decode(head)
    if header.crc is not None and _SEAL.pack(_U32, _checksum(head[: -_SEAL.size], message)) != head[-_SEAL.size :]:
        raise ProtocolError("a message was damaged on its way: its checksum is another one")
    return header


def _checksum(header: bytes, message: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(header), message))


def _check_version(header: PeerHeader) -> None:
    if header.version != PEER_VERSION:
        raise ProtocolError(f"peer protocol {header.version}, this node speaks {PEER_VERSION}: upgrade one of them")
