"""Defects of snapshots on their way ([R] section 7): guards of the receiver, and what the sender may conclude."""

from tests.mutants.mutant import Mutant

ACCEPTOR = "core/acceptor.py"
INSTALLATION = "core/installation.py"
PROGRESS = "core/progress.py"
REPLICATION = "core/replication.py"
STREAMING = "core/streaming.py"
RECEIVING = "tests/unit/core/test_installation.py"
SENDING = "tests/unit/core/test_streaming.py"
FILES = "tests/unit/actors/test_installing.py"

MUTANTS = (
    Mutant(
        "an old leader sends a snapshot",
        "a snapshot needs T >= term",
        ACCEPTOR,
        "        if message.term < log.term:\n"
        "            return Answer(InstallAnswer(log.term, message.snapshot, 0))\n",
        "",
        test=RECEIVING,
    ),
    Mutant(
        "a snapshot does not raise the term",
        "a candidate or follower follows the leader that sends a snapshot (trap 9)",
        ACCEPTOR,
        "        self._follow(message.term, sender)\n        if message.snapshot.index <= self.commit:\n",
        "        if message.snapshot.index <= self.commit:\n",
        test=RECEIVING,
    ),
    Mutant(
        "what is committed is sent once more",
        "a snapshot of what is committed here is answered as installed",
        ACCEPTOR,
        "        if message.snapshot.index <= self.commit:\n",
        "        if False:\n",
        test=RECEIVING,
    ),
    Mutant(
        "a snapshot takes the state back",
        "a snapshot is installed only ahead of what is committed",
        ACCEPTOR,
        "        if snapshot.index <= self.commit:\n",
        "        if False:\n",
        test=RECEIVING,
    ),
    Mutant(
        "the commit index stays behind a snapshot",
        "a snapshot moves the log, the commit index and the applied index together",
        ACCEPTOR,
        "        self.commit = self.applied = snapshot.index\n",
        "        self.applied = snapshot.index\n",
    ),
    Mutant(
        "the term is the snapshot's",
        "the term is never taken from a snapshot (trap 26)",
        ACCEPTOR,
        "        self._log.install(snapshot, generation)\n",
        "        self._log.install(snapshot, generation)\n        self._log.set_term(snapshot.term, 0)\n",
    ),
    Mutant(
        "an old snapshot is offered",
        "a snapshot that ends before the log begins helps nobody",
        ACCEPTOR,
        " or offer.index < log.base.index:\n",
        ":\n",
        test=RECEIVING,
    ),
    Mutant(
        "a damaged snapshot is offered again",
        "a damaged snapshot is never handed on (trap 30)",
        ACCEPTOR,
        " or offer.checksum == message.damaged",
        "",
        test=RECEIVING,
    ),
    Mutant(
        "an empty snapshot is taken",
        "no empty snapshot is ever staged (trap 27)",
        INSTALLATION,
        "        if snapshot.index < 1 or snapshot.size < 1:\n",
        "        if False:\n",
        test=RECEIVING,
    ),
    Mutant(
        "a question that came to nothing is not answered",
        "who is silent is taken for dead, and gets no snapshot",
        ACCEPTOR,
        "        return [*answers] if answers or message.data else [self.alive()]\n",
        "        return [*answers]\n",
        test=RECEIVING,
    ),
    Mutant(
        "pieces are taken without room",
        "when the reserve is used up nothing grows but terms and votes",
        ACCEPTOR,
        "        if message.data and exhausted:\n",
        "        if False:\n",
        test=RECEIVING,
    ),
    Mutant(
        "pieces are taken in any order",
        "only the piece at exactly the held offset is taken",
        INSTALLATION,
        " or message.offset != self.held or ",
        " or ",
        test=RECEIVING,
    ),
    Mutant(
        "damaged pieces are staged",
        "a piece is checked when it arrives",
        INSTALLATION,
        " or google_crc32c.value(message.data) != message.crc:\n",
        ":\n",
        test=RECEIVING,
    ),
    Mutant(
        "a damaged snapshot is installed",
        "a corrupt snapshot is never installed (trap 30)",
        INSTALLATION,
        "        if sound:\n",
        "        if True:\n",
        test=RECEIVING,
    ),
    Mutant(
        "a delayed piece pushes out a newer snapshot",
        "only a question begins a stream",
        INSTALLATION,
        "        if message.data:\n",
        "        if False:\n",
        test=RECEIVING,
    ),
    Mutant(
        "a snapshot is replaced while it is checked",
        "no other snapshot begins while one is being verified",
        INSTALLATION,
        "        if self._verifying:\n            return [Ignored(",
        "        if False:\n            return [Ignored(",
        test=RECEIVING,
    ),
    Mutant(
        "any snapshot's answer counts",
        "an answer speaks of the snapshot that it names",
        PROGRESS,
        "        if stream is None or answer.snapshot != stream.snapshot:\n",
        "        if stream is None:\n",
        test=SENDING,
    ),
    Mutant(
        "a stream ends by its own answers only",
        "a snapshot succeeds by an Append's answer alone",
        PROGRESS,
        "        if self.stream is not None and self.match >= self.stream.snapshot.index:\n",
        "        if False:\n",
        test=SENDING,
    ),
    Mutant(
        "any Append's answer ends a stream",
        "a stream ends by an answer that reaches its snapshot",
        PROGRESS,
        "        if self.stream is not None and self.match >= self.stream.snapshot.index:\n",
        "        if self.stream is not None:\n",
        test=SENDING,
    ),
    Mutant(
        "the log is cut under a stream",
        "while a snapshot is on its way the entries behind it are kept",
        REPLICATION,
        "                    effects += [ToStorage(keep)] if (keep := lead.keeps(now)) else []\n",
        "",
        test=SENDING,
    ),
    Mutant(
        "a stream without a window",
        "at most four pieces are under way",
        STREAMING,
        "min(self.snapshot.size, window)\n",
        "self.snapshot.size + 0 * window\n",
        test=SENDING,
    ),
    Mutant(
        "a stream without a rate",
        "pieces leave no faster than the rate",
        STREAMING,
        "        while self._has_more() and now >= self._free_at:\n",
        "        while self._has_more():\n",
        test=SENDING,
    ),
    Mutant(
        "an interrupted installation passes for a rebuilt state",
        "a state that is made anew begins in an empty directory",
        "store/recovery.py",
        "        _clear(directory.state_path(log.generation + 1))\n",
        "",
        test=FILES,
    ),
    Mutant(
        "what an installation left is removed only when it may be used",
        "what stands where the next state is to be goes before the log has that generation",
        "store/recovery.py",
        "        _clear(directory.state_path(log.generation + 1))\n"
        "        # Durable before the mark is set anew, which replaces the evidence: a kill from here on finds the "
        "old state\n        # out of use already.\n"
        "        log.set_generation(log.generation + 1)\n        log.commit()\n",
        "        log.set_generation(log.generation + 1)\n        log.commit()\n"
        "        _clear(directory.state_path(log.generation))\n",
        test="tests/unit/store/test_rebuilding.py",
    ),
    Mutant(
        "what was replaced keeps its name until it is gone",
        "whoever lists snapshots comes upon none that is just going",
        "actors/installing.py",
        "    older = [set_aside(path) for path in list_snapshots(",
        "    older = [path for path in list_snapshots(",
        test=FILES,
    ),
    Mutant(
        "what was prepared in vain keeps its name until it is gone",
        "the next installation uses the name of the one before, which was not needed",
        "actors/installing.py",
        'remove_behind(state.rename(state.with_name(f"{state.name}.gone")), ',
        "remove_behind(state, ",
        test=FILES,
    ),
    Mutant(
        "a part of a state is left where the next one is opened",
        "a state that could not be made leaves nothing behind",
        "actors/installing.py",
        "            shutil.rmtree(state, ignore_errors=True)  # a part",
        "            pass  # a part",
        test=FILES,
    ),
    Mutant(
        "a snapshot is received into the reserve",
        "a snapshot is received only where there is room for it, and for its state",
        "actors/installing.py",
        "        if not has_room(self._directory.path, 2 * snapshot.size - held):\n",
        "        if False:\n",
        test=FILES,
    ),
)
