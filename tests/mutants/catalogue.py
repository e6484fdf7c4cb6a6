"""All mutants."""

from tests.mutants import elections, installing, leases, replicating, shells

MUTANTS = elections.MUTANTS + leases.MUTANTS + replicating.MUTANTS + installing.MUTANTS + shells.MUTANTS
