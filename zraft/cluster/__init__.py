"""A local cluster: real nodes on this machine, for trying zraft out and for tests that kill and pause processes.

``joining`` is something else: how any node becomes a member of a cluster that runs. It needs both client and store.
"""

from zraft.cluster.local import LocalCluster, Ports
from zraft.cluster.processes import ClusterError

__all__ = ["ClusterError", "LocalCluster", "Ports"]
