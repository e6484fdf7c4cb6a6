"""From structs to frames and back, one decoder a socket; nowhere else is msgpack decoded."""

from __future__ import annotations

import struct
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from zraft.errors import InvalidArgument, ProtocolError
from zraft.protocol import local, peer, requests, responses
from zraft.protocol.entries import ClusterRecord, Configuration, Entry, Member

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Any struct of the protocol, as msgpack bytes."""

T_co = TypeVar("T_co", covariant=True)
_U64 = struct.Struct(">Q")


class Channel(Generic[T_co]):
    """Decodes what may arrive on one socket: one union, one decoder."""

    def __init__(self, union: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(union).decode

    def decode(self, frame: bytes) -> T_co:
        """The message in ``frame``.

        Raises:
            ProtocolError: the bytes are none of this channel's messages.
        """
        try:
            message: T_co = self._decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"undecodable message of {len(frame)} bytes: {error}") from None
        return message


control: Channel[peer.ControlMessage] = Channel(peer.ControlMessage)
data: Channel[peer.DataMessage] = Channel(peer.DataMessage)
gateways: Channel[peer.GatewayMessage] = Channel(peer.GatewayMessage)
peer_header: Channel[peer.PeerHeader] = Channel(peer.PeerHeader)
response_header: Channel[responses.ResponseHeader] = Channel(responses.ResponseHeader)
response: Channel[responses.Response] = Channel(responses.Response)
request_header: Channel[requests.RequestHeader] = Channel(requests.RequestHeader)
cluster_record: Channel[ClusterRecord] = Channel(ClusterRecord)
_request: Channel[requests.Request] = Channel(requests.Request)
_members: Channel[tuple[Member, ...]] = Channel(tuple[Member, ...])
_version: Channel[Annotated[int, msgspec.Meta(ge=1)]] = Channel(Annotated[int, msgspec.Meta(ge=1)])
configurations: Channel[tuple[Configuration, ...]] = Channel(tuple[Configuration, ...])
configuration: Channel[Configuration] = Channel(Configuration)
_commands: Channel[list[requests.Command]] = Channel(list[requests.Command])
_raw_list: Channel[list[msgspec.Raw]] = Channel(list[msgspec.Raw])

election_to_storage: Channel[local.ElectionToStorage] = Channel(local.ElectionToStorage)
storage_to_election: Channel[local.StorageToElection] = Channel(local.StorageToElection)
election_to_replication: Channel[local.ElectionToReplication] = Channel(local.ElectionToReplication)
replication_to_election: Channel[local.ReplicationToElection] = Channel(local.ReplicationToElection)
replication_to_storage: Channel[local.ReplicationToStorage] = Channel(local.ReplicationToStorage)
storage_to_replication: Channel[local.StorageToReplication] = Channel(local.StorageToReplication)
gateway_to_replication: Channel[local.GatewayToReplication] = Channel(local.GatewayToReplication)
replication_to_gateway: Channel[local.ReplicationToGateway] = Channel(local.ReplicationToGateway)
gateway_to_election: Channel[local.GatewayToElection] = Channel(local.GatewayToElection)
election_to_gateway: Channel[local.ElectionToGateway] = Channel(local.ElectionToGateway)
gateway_to_storage: Channel[local.GatewayToStorage] = Channel(local.GatewayToStorage)
storage_to_gateway: Channel[local.StorageToGateway] = Channel(local.StorageToGateway)

role_group: Channel[local.RoleGroup] = Channel(local.RoleGroup)
lease_group: Channel[local.LeaseGroup] = Channel(local.LeaseGroup)
commit_group: Channel[local.CommitGroup] = Channel(local.CommitGroup)
node_group: Channel[local.NodeGroup] = Channel(local.NodeGroup)
storage_group: Channel[local.StorageGroup] = Channel(local.StorageGroup)
identity_group: Channel[local.IdentityGroup] = Channel(local.IdentityGroup)


def decode_request(body: bytes) -> requests.Request:
    """A client's request.

    Raises:
        InvalidArgument: the bytes are no request of this version; the message says what is wrong.
    """
    try:
        return _request.decode(body)
    except ProtocolError as error:
        raise InvalidArgument(f"malformed request: {error}") from None


def pack_commands(bodies: list[bytes]) -> bytes:
    """The payload of one entry: a msgpack array around the commands as they came, re-encoded nowhere."""
    count = len(bodies)
    head = b"\xdd" + count.to_bytes(4, "big")  # "array 32", whatever the count
    return head + b"".join(bodies)


def unpack_commands(payload: bytes) -> list[requests.Command] | None:
    """The commands of an entry, or None when the payload is none that this version can read."""
    try:
        return _commands.decode(payload)
    except ProtocolError:
        return None


def configuration_of(entry: Entry) -> Configuration | None:
    """The configuration that an entry of that kind brings, or None when it is none that this version can read."""
    try:
        return Configuration(entry.index, _members.decode(entry.payload))
    except ProtocolError:
        return None


def cluster_version_of(entry: Entry) -> int | None:
    """The version to which an entry of that kind raises the cluster, or None when nobody of this version can tell."""
    try:
        return _version.decode(entry.payload)
    except ProtocolError:
        return None


def split_results(results: bytes) -> list[bytes]:
    """The answers in a ``Results`` blob, one for each command, each as bytes ready to send."""
    return [bytes(raw) for raw in _raw_list.decode(results)]


def incarnation_frame(incarnation: int) -> bytes:
    """First frame of every message inside a node."""
    return _U64.pack(incarnation)
