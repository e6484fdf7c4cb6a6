"""All mutants."""

from tests.mutants import elections, leases, replicating, shells, snapshots

MUTANTS = elections.MUTANTS + leases.MUTANTS + replicating.MUTANTS + shells.MUTANTS + snapshots.MUTANTS
