"""The bounds of the wire, as the code has them; what each is of stands in ``proto_schemas/meanings.toml``."""

from __future__ import annotations

from zraft.actors import clients, gateway_peers
from zraft.config import MEMBERS_MAX, Settings
from zraft.core import audit, proposals, replication, streaming, terms, versions, views
from zraft.protocol import entries, peer, requests, responses

LIMITS: dict[str, int] = {
    "request_id_bytes_max": requests.REQUEST_ID_BYTES_MAX,
    "header_bytes_max": clients.HEADER_BYTES_MAX,
    "request_bytes_max": requests.REQUEST_BYTES_MAX,
    "key_bytes_max": requests.KEY_BYTES_MAX,
    "range_bound_bytes_max": requests.KEY_BYTES_MAX + 1,
    "batch_operations_max": requests.BATCH_OPERATIONS_MAX,
    "range_items_max": requests.RANGE_ITEMS_MAX,
    "reply_bytes_max": responses.REPLY_BYTES_MAX,
    "records_walked_max": views.RECORDS_WALKED_MAX,
    "bytes_walked_max": views.BYTES_WALKED_MAX,
    "backup_chunk_bytes": responses.BACKUP_CHUNK_BYTES,
    "frame_bytes_max": clients.MESSAGE_BYTES_MAX,
    "timeout_ms_max": round(clients.TIMEOUT_SECONDS_MAX * 1000),
    "timeout_ms_default": Settings().request_timeout_ms,
    "client_requests_max": Settings().client_requests_max,
    "client_bytes_max": Settings().client_bytes_max,
    "gateway_requests_max": Settings().gateway_requests_max,
    "gateway_bytes_max": Settings().gateway_bytes_max,
    "unread_seconds_max": round(clients.UNREAD_SECONDS),
}
"""Of clients and gateways."""
PEER_LIMITS: dict[str, int] = {
    "header_bytes_max": peer.HEADER_BYTES_MAX,
    "control_frame_bytes_max": peer.CONTROL_BYTES_MAX,
    "data_frame_bytes_max": peer.MESSAGE_BYTES_MAX,
    "gateways_frame_bytes_max": peer.GATEWAY_BYTES_MAX,
    "number_max": entries.NUMBER_MAX,
    "term_leap_max": terms.TERM_LEAP_MAX,
    "members_max": MEMBERS_MAX,
    "member_name_bytes_max": requests.MEMBER_NAME_BYTES_MAX,
    "client_endpoint_characters_max": gateway_peers.ENDPOINT_CHARACTERS_MAX,
    "proposal_bytes": proposals.PROPOSAL_BYTES_MAX,
    "append_bytes": replication.APPEND_BYTES_MAX,
    "append_window": Settings().window_entries,
    "append_window_bytes": Settings().window_bytes,
    "snapshot_piece_bytes_max": streaming.CHUNK_BYTES,
    "snapshot_window": streaming.WINDOW_CHUNKS,
    "checkpoint_entries": audit.CHECKPOINT_ENTRIES,
    "cluster_version": versions.SUPPORTED,
}
"""Of nodes among themselves."""
