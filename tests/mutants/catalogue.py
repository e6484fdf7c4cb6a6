"""All mutants."""

from tests.mutants import elections, leases, replicating, shells

MUTANTS = elections.MUTANTS + leases.MUTANTS + replicating.MUTANTS + shells.MUTANTS
