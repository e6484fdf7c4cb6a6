"""All mutants."""

from tests.mutants import elections, installing, leases, replicating, shells, snapshots

MUTANTS = (
    elections.MUTANTS + leases.MUTANTS + replicating.MUTANTS + installing.MUTANTS + shells.MUTANTS + snapshots.MUTANTS
)
