"""All mutants."""

from tests.mutants import (
    auditing,
    connections,
    elections,
    history,
    incarnations,
    installing,
    leases,
    members,
    replicating,
    restoring,
    shells,
    snapshots,
    transferring,
    upgrades,
)

MUTANTS = (
    elections.MUTANTS
    + leases.MUTANTS
    + replicating.MUTANTS
    + installing.MUTANTS
    + shells.MUTANTS
    + snapshots.MUTANTS
    + restoring.MUTANTS
    + history.MUTANTS
    + members.MUTANTS
    + transferring.MUTANTS
    + auditing.MUTANTS
    + upgrades.MUTANTS
    + incarnations.MUTANTS
    + connections.MUTANTS
)
