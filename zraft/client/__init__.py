"""The client: ``Client``, and the operations that a batch is made of. What its methods return, ``zraft`` names."""

from zraft.client.client import Client
from zraft.client.operations import Delete, Get, Put

__all__ = ["Client", "Delete", "Get", "Put"]
