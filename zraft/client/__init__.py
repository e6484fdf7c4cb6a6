"""The client: ``Client``, and the operations that a batch is made of. Their results are those of the protocol."""

from zraft.client.client import Client
from zraft.protocol.client import Delete, Get, Put

__all__ = ["Client", "Delete", "Get", "Put"]
