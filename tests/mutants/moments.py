"""Defects that show at certain moments only: links are late, clocks are wrong, a read begins between two steps.

Each is one that the simulator could not find, or hardly, before it had such moments.
"""

from tests.mutants.mutant import Mutant

OFFICE = "core/office.py"

MUTANTS = (
    Mutant(
        "a leader is judged by when answers came",
        "check-quorum: a majority answered a round that was sent lately; what comes ever later is no sign of that",
        OFFICE,
        "            done = [*self._lease.extend(rounds.term, rounds.confirmed_sent), *counted, *done]\n",
        "            done = [*self._lease.extend(rounds.term, rounds.confirmed_sent), *counted, *done]\n"
        "            rounds.confirmed_sent = now\n",
    ),
    Mutant(
        "a round of a moment ago is proof enough",
        "by quorum: only a round that is sent after the read arrived proves anything, whatever a clock says (trap 41)",
        OFFICE,
        "        self.rounds.wait(gateway, request)\n",
        "        ago = now - self.rounds.confirmed_sent\n"
        "        by_clock = ago < 0.12 and not self._uncounted[0] and not self._lease.is_surrendered(self.term)\n"
        "        if self.rounds.confirmed and by_clock:\n"
        "            return [ToGateway(gateway, RoundAnswer(request, self.term))]\n"
        "        self.rounds.wait(gateway, request)\n",
    ),
    Mutant(
        "the applied index is published by itself",
        "S10: what the state says of itself is committed with the effects, in one step",
        "core/keyspace.py",
        "            self._tables.set_meta(APPLIED, pack_applied(now))\n",
        "            self._tables.commit()\n            self._tables.set_meta(APPLIED, pack_applied(now))\n",
    ),
    Mutant(
        "a range goes on at the newest revision",
        "a range and its continuations are one consistent view",
        "core/views.py",
        "        revision = request.revision or self.revision\n        items",
        "        revision = self.revision if request.start else request.revision or self.revision\n        items",
    ),
)
