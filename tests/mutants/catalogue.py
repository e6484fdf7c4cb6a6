"""All mutants. Those of the leader's lease (S12, the rest of S7) join with it."""

from tests.mutants import elections, replicating, shells

MUTANTS = elections.MUTANTS + replicating.MUTANTS + shells.MUTANTS
