"""All mutants."""

from tests.mutants import auditing, elections, history, installing, leases, replicating, restoring, shells, snapshots

MUTANTS = (
    elections.MUTANTS
    + leases.MUTANTS
    + replicating.MUTANTS
    + installing.MUTANTS
    + shells.MUTANTS
    + snapshots.MUTANTS
    + restoring.MUTANTS
    + history.MUTANTS
    + auditing.MUTANTS
)
