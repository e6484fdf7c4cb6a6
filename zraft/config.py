"""Every setting of a node, with its unit, default and bounds; checked once, before anything starts."""

from __future__ import annotations

import errno
import ipaddress
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zraft.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LEASE = "lease"
QUORUM = "quorum"
READ_MODES = (LEASE, QUORUM)
STORED, GIVEN = "cluster", "peers"
ADDRESSES_OF = (STORED, GIVEN)
WILDCARDS = ("0.0.0.0", "::", "*")
MEMBERS_MAX = 15
"""Of a cluster. Every entry goes to all of them, and a majority must answer: more voters than 7 make nothing safer."""
ADDRESS_SHOWN = 80
"""So many characters of an address that is refused are shown."""
_NAME_OR_IPV4 = re.compile(r"[A-Za-z0-9._-]{1,253}|\*")
"""A DNS name has up to 253 characters."""
_ZONE = re.compile(r"[A-Za-z0-9._-]{0,16}")
_PORT = re.compile(r"[0-9]{1,5}")
BOUNDS: dict[str, tuple[int, int]] = {
    # setting: (least, most), both allowed
    "port": (1, 65535),
    "http_port": (1, 65535),
    "peer_port": (1, 65533),
    "heartbeat_ms": (5, 10_000),
    "priority": (0, 100),
    "election_timeout_min_ms": (20, 100_000),
    "election_timeout_max_ms": (30, 200_000),
    "stall_limit_ms": (200, 600_000),
    "request_timeout_ms": (10, 600_000),
    "map_size_gib": (1, 16_384),
    "window_entries": (1, 4_096),
    "window_bytes": (3 << 20, 1 << 30),
    "snapshot_rate_mib": (1, 16_384),
    "retain_revisions": (0, 1 << 40),
    "retain_seconds": (0, 10 * 366 * 86_400),
    "client_requests_max": (1, 1 << 20),
    "client_bytes_max": (3 << 20, 1 << 32),
    "gateway_requests_max": (1, 1 << 20),
    "gateway_bytes_max": (3 << 20, 1 << 34),
    "snapshot_log_mib": (1, 1 << 20),
    "burst_mib": (0, 1 << 20),
}
"""The bounds of each number."""


PREFIX = "ZRAFT_"
"""Of the variables that hold settings."""
PEER_PORTS = 3
"""A node uses its peer port, and the ones after it up to so many in all."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node's settings. Times are milliseconds, sizes are bytes unless the name says otherwise.

    ``peers`` maps the names of the cluster's first members to ``host:port`` of their peer port; the node itself may
    be among them. Empty means a cluster of one.
    """

    id: str = "node-1"
    host: str = "127.0.0.1"
    advertise: str = ""
    port: int = 8080
    http_port: int = 9090
    peer_port: int = 7080
    data_dir: str = "zraft-data/node-1"
    peers: dict[str, str] = {}
    addresses_of: str = STORED
    """Whose addresses of members count: those that the cluster has stored, or those of ``peers``, where it has any."""
    join: str = ""
    """Client endpoints of some members of a running cluster: on an empty data directory the node joins that one."""

    heartbeat_ms: int = 50
    election_timeout_min_ms: int = 150
    election_timeout_max_ms: int = 300
    priority: int = 1
    """A leader hands over to a voter of a higher priority once both have been calm; 0: it leads if no other can."""
    stall_limit_ms: int = 2_000
    """How long election, replication or storage may make no progress on work they have before a leader steps down."""

    request_timeout_ms: int = 5_000
    """How long a gateway works on a request whose client named no time."""
    read_mode: str = LEASE
    """How linearizable reads are made safe: under the leader's lease, or each by a round that a quorum answers."""

    map_size_gib: int = 1_024
    """The virtual size of each LMDB map: address space, not disk. It is fixed, so that it never grows under readers."""
    window_entries: int = 64
    """Appends in flight to one peer."""
    window_bytes: int = 32 << 20
    snapshot_rate_mib: int = 64
    """MiB a second at which a snapshot is sent to one follower that lags behind the log."""
    retain_revisions: int = 50_000
    """How many revisions can still be read; 0: there is no such bound. What comes first counts."""
    retain_seconds: int = 3_600
    """For how long; 0: there is no such bound."""
    client_requests_max: int = 20_000
    """Requests in flight of one client connection, and their bytes."""
    client_bytes_max: int = 64 << 20
    gateway_requests_max: int = 100_000
    """Requests in flight of one gateway, and their bytes."""
    gateway_bytes_max: int = 256 << 20
    snapshot_log_mib: int = 64
    """The log may grow to so much, or half the state if that is more, before a snapshot is made and the log cut."""
    burst_mib: int = 128
    """While writes come fast, the state may grow by so much more before history is swept, and the log, but by
    ``snapshot_log_mib`` at most, before it is cut."""

    def check(self) -> Settings:
        """Return self when every bound holds.

        Raises:
            ConfigurationError: names the setting, its value, and what is allowed.
        """
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigurationError(f"{name} is {value}, but must be within {least}..{most}")
        for name in (self.id, *self.peers):
            if not NAME.fullmatch(name):
                raise ConfigurationError(
                    f"node name {name!r}: use 1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit"
                )
        if self.election_timeout_min_ms < 2 * self.heartbeat_ms:
            raise ConfigurationError(
                f"election_timeout_min_ms ({self.election_timeout_min_ms}) must be at least twice heartbeat_ms "
                f"({self.heartbeat_ms}), or one lost heartbeat elects a new leader"
            )
        if self.election_timeout_max_ms < self.election_timeout_min_ms * 1.2:
            raise ConfigurationError(
                f"election_timeout_max_ms ({self.election_timeout_max_ms}) must exceed election_timeout_min_ms "
                f"({self.election_timeout_min_ms}) by a fifth, or candidates keep colliding"
            )
        for name, allowed in (("read_mode", READ_MODES), ("addresses_of", ADDRESSES_OF)):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(allowed)}")
        taken: dict[int, str] = {}
        for what, port in self.ports().items():
            if port in taken:
                raise ConfigurationError(f"{what} and {taken[port]} both use port {port}")
            taken[port] = what
        self._check_peers()
        for endpoint in self.join_endpoints():
            split_endpoint(endpoint, "an endpoint to join")
        split_endpoint(self.client_endpoint(), "advertise" if self.advertise else "host with port")
        own = split_address(self.peer_endpoint())[0] if self.peer_endpoint() else ""
        away = [host for host, _ in map(split_endpoint, self.join_endpoints()) if is_address(host)]
        if away and is_loopback(own) and not any(map(is_loopback, away)):
            raise ConfigurationError(
                f"this node would join as {own}, where no other machine reaches it: set host to its address"
            )
        if self.join and not self.peer_endpoint():
            raise ConfigurationError(
                f"to join a cluster, the others must know where to reach this node, which only knows that it listens "
                f"on {self.host}: set advertise to its address"
            )
        return self

    def _check_peers(self) -> None:
        if len(self.names()) > MEMBERS_MAX:
            raise ConfigurationError(f"peers names {len(self.names())} nodes, and a cluster has up to {MEMBERS_MAX}")
        found = [(name, *split_address(one, f"the address of peer {name}")) for name, one in self.peers.items()]
        for (name, host, port), (other, other_host, other_port) in itertools.combinations(found, 2):
            if host == other_host and abs(port - other_port) < PEER_PORTS:
                raise ConfigurationError(
                    f"peers {name} and {other} overlap on {host}: a node uses its peer port and the two after it, and "
                    f"these are {port} and {other_port}"
                )

    def ports(self) -> dict[str, int]:
        """The TCP ports that the node binds, by what they are for."""
        return {
            "port": self.port,
            "http_port": self.http_port,
            "peer_port (control)": self.peer_port,
            "peer_port + 1 (data)": self.peer_port + 1,
            "peer_port + 2 (gateways)": self.peer_port + 2,
        }

    def join_endpoints(self) -> tuple[str, ...]:
        """The endpoints in ``join``."""
        return tuple(part.strip() for part in self.join.split(",") if part.strip())

    def names(self) -> tuple[str, ...]:
        """The names of the cluster's first members, sorted, this node's among them."""
        return tuple(sorted({self.id, *self.peers}))

    def peer_addresses(self) -> dict[str, tuple[str, int]]:
        """The other members' (host, control port) by name."""
        return {name: split_address(address) for name, address in self.peers.items() if name != self.id}

    def member_addresses(self) -> dict[str, str]:
        """``host:port`` of the first members' peer ports by name, this node's among them if others can use it."""
        own = self.peer_endpoint()
        return self.peers | ({self.id: own} if own else {})

    def peer_endpoint(self) -> str:
        """``host:port`` at which other nodes reach this one; empty if it only knows that it listens everywhere."""
        if self.id in self.peers:
            return self.peers[self.id]
        host = split_endpoint(self.client_endpoint())[0]
        if host in WILDCARDS:
            return ""
        return f"[{host}]:{self.peer_port}" if ":" in host else f"{host}:{self.peer_port}"

    def client_endpoint(self) -> str:
        """``host:port`` that clients are told to use for this node."""
        told = self.advertise or self.host
        if ":" in told and is_address(told):
            return f"[{told}]:{self.port}"
        return f"{told}:{self.port}" if ":" not in told or told.endswith("]") else told

    def data_path(self) -> Path:
        """The data directory."""
        return Path(self.data_dir)


def unknown_variables(names: Iterable[str]) -> tuple[str, ...]:
    """Those of environment variables that look like a setting's, and are none's: misspelt ones, perhaps."""
    known = {f"{PREFIX}{name.upper()}" for name in (*Settings.__struct_fields__, "config", "endpoints")}
    return tuple(sorted(name for name in names if name.startswith(PREFIX) and name not in known))


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches this name or address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(text: str) -> bool:
    """Whether this is an IP address, and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def split_endpoint(endpoint: str, what: str = "the endpoint") -> tuple[str, int]:
    """``host:port`` of a node's client port taken apart.

    Raises:
        ConfigurationError: it is not of that form.
    """
    return split_address(endpoint, what, 65535)


def not_bound(setting: str, where: str, number: int, reason: str) -> ConfigurationError:
    """What to tell of a node that can't listen.

    Args:
        setting: whose port it is, as ``Settings.ports`` has it.
        where: the address and port.
        number: the errno, or another number where the host has no address.
        reason: the system's words for it.
    """
    taken = number in (errno.EADDRINUSE, errno.EACCES)
    advice = "choose another port" if taken else "host must be an address of this machine, or a name that has one"
    return ConfigurationError(f"{setting}: can't listen on {where}: {reason}; {advice}")


def split_address(address: str, what: str = "the address", port_max: int = 65533) -> tuple[str, int]:
    """``host:port`` taken apart; by default the port has two others above it, as a peer port has.

    Raises:
        ConfigurationError: it is not of that form.
    """
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not _is_host(host) or not _PORT.fullmatch(port) or not 1 <= int(port) <= port_max:
        shown = address if len(address) <= ADDRESS_SHOWN else address[:ADDRESS_SHOWN] + "..."
        raise ConfigurationError(
            f"{what} is {shown!r}, but must be host:port: a name of letters, digits, '.', '-' and '_', or an IP "
            f"address, and a port within 1..{port_max}"
        )
    return host, int(port)


def _is_host(host: str) -> bool:
    """Whether libzmq and resolvers can take it: it may be stored, and each node would try it for ever."""
    if ":" not in host:
        return bool(_NAME_OR_IPV4.fullmatch(host))
    address, _, zone = host.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return bool(_ZONE.fullmatch(zone))
