"""A local cluster, as far as no node has to run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from zraft.cluster import ClusterError, LocalCluster


def test_who_starts_a_cluster_that_runs_is_told_how_to_start_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As who killed one of three, and wants it back."""
    runs = SimpleNamespace(processes=SimpleNamespace(states=lambda: {1: "S"}))
    monkeypatch.setattr(LocalCluster, "_started", lambda _: {"node-1": runs})
    with pytest.raises(ClusterError, match=r"runs in .* already: .*`zraft dev restart NODE`"):
        LocalCluster(tmp_path, 3).up()
