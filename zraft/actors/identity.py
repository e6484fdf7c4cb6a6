"""Who speaks to whom: the header of every peer message, made and checked in one place."""

from __future__ import annotations

from zraft.errors import ProtocolError
from zraft.protocol.codec import encode, peer_header
from zraft.protocol.entries import Configuration
from zraft.protocol.peer import HEADER_BYTES_MAX, PEER_VERSION, PeerHeader

ROUTES_MAX = 1_024
"""So many members' ways are known: a cluster has far fewer, but whoever reaches the port may claim to be many."""

HEADERS_MAX = 1_024
"""So many are remembered, made ones and checked ones; then it begins anew."""


class Identity:
    """This node among the members of its cluster, once that has formed."""

    def __init__(self, me: int, cluster: bytes, configuration: Configuration, incarnation: int) -> None:
        self.me = me
        self.incarnation = incarnation
        self._cluster = cluster
        self._names: dict[int, str] = {}
        self.meet(configuration)
        self._headers: dict[tuple[int, int], bytes] = {}
        self._known: dict[bytes, PeerHeader] = {}

    def meet(self, configuration: Configuration) -> None:
        """The members have changed."""
        self._names = {member.id: member.name for member in configuration.members}

    def name_of(self, member: int) -> str:
        """The name under which a member's address is known; empty for a stranger."""
        return self._names.get(member, "")

    def header_to(self, member: int, incarnation: int | None = None) -> bytes:
        """The header of a request to ``member``, or of an answer to its ``incarnation``."""
        key = (member, self.incarnation if incarnation is None else incarnation)
        header = self._headers.get(key)
        if header is None:
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            header = self._headers[key] = encode(PeerHeader(PEER_VERSION, self._cluster, self.me, *key))
        return header

    def check(self, frame: bytes) -> PeerHeader:
        """The header in ``frame``, if it comes from another node of this cluster and is meant for this node.

        The sender need not be in the configuration that this node knows: a new leader may be one that was added while
        this node was away, and nobody else could tell it so. Votes, acknowledgements and copies count only if it is.

        Raises:
            ProtocolError: another version or cluster, or a message for somebody else; says which.
        """
        header = self._known.get(frame)
        if header is None:
            header = _decode(frame)
            self._check(header)
            if len(self._known) >= HEADERS_MAX:
                self._known.clear()
            self._known[frame] = header
        return header

    def check_answer(self, frame: bytes) -> PeerHeader:
        """As ``check``, for an answer: it must be to this incarnation (S1)."""
        header = self.check(frame)
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


def check_hello(frame: bytes) -> PeerHeader:
    """The header of a Hello: its sender may belong to any cluster, or to none yet, but must speak our protocol.

    Raises:
        ProtocolError: it does not.
    """
    header = _decode(frame)
    _check_version(header)
    return header


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


def _decode(frame: bytes) -> PeerHeader:
    if len(frame) > HEADER_BYTES_MAX:  # it is kept, and shown in the log
        raise ProtocolError(f"a header has up to {HEADER_BYTES_MAX} bytes, this one has {len(frame)}")
    return peer_header.decode(frame)


def _check_version(header: PeerHeader) -> None:
    if header.version != PEER_VERSION:
        raise ProtocolError(f"peer protocol {header.version}, this node speaks {PEER_VERSION}: upgrade one of them")
