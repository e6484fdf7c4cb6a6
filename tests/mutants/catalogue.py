"""All mutants."""

from tests.mutants import (
    applying,
    auditing,
    clients,
    connections,
    elections,
    history,
    incarnations,
    installing,
    journals,
    leases,
    members,
    moments,
    replicating,
    restoring,
    shells,
    snapshots,
    strangers,
    transferring,
    trio,
    upgrades,
)

MUTANTS = (
    elections.MUTANTS
    + leases.MUTANTS
    + replicating.MUTANTS
    + applying.MUTANTS
    + installing.MUTANTS
    + journals.MUTANTS
    + shells.MUTANTS
    + snapshots.MUTANTS
    + restoring.MUTANTS
    + history.MUTANTS
    + members.MUTANTS
    + transferring.MUTANTS
    + auditing.MUTANTS
    + upgrades.MUTANTS
    + incarnations.MUTANTS
    + trio.MUTANTS
    + connections.MUTANTS
    + clients.MUTANTS
    + strangers.MUTANTS
    + moments.MUTANTS
)
