"""Load on a cluster, measured: what ``zraft bench`` runs. Read ``load``, ``histogram``, ``worker``, ``measure``."""

from zraft.bench.load import Load
from zraft.bench.measure import Figures, OnProgress, measure

__all__ = ["Figures", "Load", "OnProgress", "measure"]
