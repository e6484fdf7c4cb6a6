"""When the supervisor starts, kills and starts again which process of its node.

Rules held here: a dead gateway is started again alone; if election, replication or storage dies, all three are
killed, all three exits are awaited, and only then are all three started, as a new incarnation (S1: no two trios act
on one directory). Crash loops back off. A data directory that can't be trusted or is not ours halts the trio for
good, while the supervisor stays up to say so (S13); so does a state in which a gateway found damage. A wrong setting,
found at the first start, stops the node; so does the news that there is a cluster which it must join first.

The supervisor calls ``step`` with each event and performs the effects in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zraft.errors import (
    ConfigurationError,
    CorruptLog,
    CorruptState,
    IdentityRefused,
    InvariantViolated,
    NotYetMember,
    SyncFailed,
)

TRIO = ("election", "replication", "storage")
"""The actors whose volatile state refers to each other: they live and die together."""

BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 10.0
GOOD_RUN_SECONDS = 30.0
"""A run of this length ends a crash loop: the next restart is immediate again."""
CRASH_LOOP_RESTARTS = 5
CRASH_LOOP_SECONDS = 60.0
"""More restarts than that within this window turn the node's health red."""
GATEWAY_STOP_SECONDS = 2.0
"""How long gateways may take to end their requests; the trio is stopped after them."""
STOP_SECONDS = 5.0
"""How long the whole node may take to stop, gateways included. Then what is left is killed."""

_HALTING = (SyncFailed.exit_code, IdentityRefused.exit_code, CorruptLog.exit_code)


class _Fact(msgspec.Struct, frozen=True):
    pass


# --- events


class Boot(_Fact, frozen=True):
    """The supervisor is ready. ``halted``: why the trio must not be started, if it must not."""

    halted: str = ""


class Exited(_Fact, frozen=True):
    """An actor's process has ended, and was waited for. ``exit_code`` -9: killed by signal 9. ``words``: its own."""

    actor: str
    exit_code: int
    words: str = ""


class StopRequested(_Fact, frozen=True):
    """Somebody wants the node to stop."""


class Tick(_Fact, frozen=True):
    """Time has passed."""


# --- effects


class Start(_Fact, frozen=True):
    """Start these actors now; if they are the trio, as a new incarnation, which is published first."""

    actors: tuple[str, ...]


class Terminate(_Fact, frozen=True):
    """Ask these actors to stop in good order."""

    actors: tuple[str, ...]


class Kill(_Fact, frozen=True):
    """End these actors at once."""

    actors: tuple[str, ...]


class Withdraw(_Fact, frozen=True):
    """The trio is broken or about to stop: take its incarnation from the page, so that nobody trusts it."""


class Forget(_Fact, frozen=True):
    """No process of the trio is left: what they published has no writer, and is to be cleared."""


class RecordSyncFailure(_Fact, frozen=True):
    """A commit of the log failed: make sure that no later start overlooks it (S13)."""

    detail: str


class Halted(_Fact, frozen=True):
    """The trio is down and stays down until an operator acts; the supervisor and the gateways stay up."""

    reason: str


class Finished(_Fact, frozen=True):
    """Every process has ended, and so shall the supervisor, with this exit code."""

    exit_code: int


Event = Boot | Exited | StopRequested | Tick
Effect = Start | Terminate | Kill | Withdraw | Forget | RecordSyncFailure | Halted | Finished


class _Unit:
    """Actors that live and die together: the trio, or one gateway.

    Invariant: ``due`` is set only while none of them is alive.
    """

    def __init__(self, actors: tuple[str, ...]) -> None:
        self.actors = actors
        self.alive: set[str] = set()
        self.ending = False  # asked to end: the next exits are expected
        self.due: float | None = None  # when to start
        self.epitaph = ""  # why it ended last
        self._started = 0.0
        self._failures = 0  # in a row, none of them after a good run
        self._restarts: list[float] = []

    def start(self, now: float) -> Start:
        if self.alive:
            raise InvariantViolated("all exits are awaited before a start", alive=self.alive)  # S1
        self.alive = set(self.actors)
        self.ending, self.due, self._started = False, None, now
        return Start(self.actors)

    def restart(self, now: float) -> Start:
        self._restarts = [at for at in self._restarts if now - at < CRASH_LOOP_SECONDS] + [now]
        return self.start(now)

    def schedule(self, now: float) -> None:
        """Set ``due``: at once after a good run, later with each failure that follows too soon."""
        self._failures = 1 if now - self._started >= GOOD_RUN_SECONDS else self._failures + 1
        doublings = min(self._failures - 2, 30)
        self.due = now if doublings < 0 else now + min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2**doublings)

    def living(self) -> tuple[str, ...]:
        return tuple(actor for actor in self.actors if actor in self.alive)

    def problem(self, now: float) -> str:
        """Why this unit is no good, in words; empty when it is well."""
        if missing := [actor for actor in self.actors if actor not in self.alive]:
            return f"{', '.join(missing)} not running; {self.epitaph or 'not started yet'}"
        recent = sum(now - at < CRASH_LOOP_SECONDS for at in self._restarts)
        if recent > CRASH_LOOP_RESTARTS:
            return f"{recent} restarts of {', '.join(self.actors)} within {CRASH_LOOP_SECONDS:g} s; {self.epitaph}"
        return ""


class Restarts:
    """The restart policy of one node."""

    def __init__(self, gateways: Sequence[str]) -> None:
        self._trio = _Unit(TRIO)
        self._gateways = [_Unit((gateway,)) for gateway in gateways]
        self._halted = ""
        self._stop_since: float | None = None
        self._killed_by_stop: set[str] = set()
        self._exit_code = 0
        self.restarts = dict.fromkeys((*TRIO, *gateways), 0)
        """How often each actor was started again."""

    def step(self, event: Event, now: float) -> list[Effect]:
        """What is to be done about ``event``. ``now``: seconds of a monotonic clock."""
        effects: list[Effect] = []
        match event:
            case Boot():
                effects = self._on_boot(event, now)
            case Exited():
                effects = self._on_exited(event, now)
            case StopRequested():
                effects = self._on_stop(now, exit_code=0)
            case Tick():
                pass
        return effects + (self._start_due(now) if self._stop_since is None else self._go_on_stopping(now))

    def next_deadline(self) -> float | None:
        """When to step with ``Tick`` at the latest; None: only an event changes anything."""
        if self._stop_since is not None:
            gateways, trio = self._to_kill(self._gateways), self._to_kill([self._trio])
            limit = GATEWAY_STOP_SECONDS if gateways else STOP_SECONDS if trio else None
            return None if limit is None else self._stop_since + limit
        return min((unit.due for unit in self._units() if unit.due is not None), default=None)

    def problem(self, now: float) -> str:
        """Why the node can't be relied on, in words; empty when all its processes run, and run long enough."""
        if self._stop_since is not None:
            return "the node is stopping"
        return self._halted or "; ".join(filter(None, (unit.problem(now) for unit in self._units())))

    def _on_boot(self, event: Boot, now: float) -> list[Effect]:
        effects: list[Effect] = [gateway.start(now) for gateway in self._gateways]
        if event.halted:
            self._halted = event.halted
            return [Halted(event.halted), *effects]
        return [self._trio.start(now), *effects]

    def _on_exited(self, event: Exited, now: float) -> list[Effect]:
        unit = next((unit for unit in self._units() if event.actor in unit.alive), None)
        if unit is None:
            raise InvariantViolated("only a living actor exits", actor=event.actor, exit_code=event.exit_code)
        unit.alive.remove(event.actor)
        effects: list[Effect] = []
        if not unit.ending:  # the first exit, and its cause: the others only follow
            unit.ending = True
            unit.epitaph = _epitaph(event)
            if unit is self._trio:
                effects += [Withdraw(), Kill(unit.living())]
        if unit is self._trio and event.exit_code in _HALTING:
            effects += self._halt(event)
        elif event.exit_code == CorruptState.exit_code:
            effects += self._on_damage_read(event)
        if not unit.alive:
            effects += self._on_unit_ended(unit, now)
        # Settings that worked once are not wrong: later it is a crash like any other, such as a port taken meanwhile.
        is_wrong_setting = event.exit_code == ConfigurationError.exit_code and not self.restarts[event.actor]
        if is_wrong_setting or event.exit_code == NotYetMember.exit_code:
            effects += self._on_stop(now, event.exit_code)
        return effects

    def _on_damage_read(self, event: Exited) -> list[Effect]:
        """A gateway came upon damage in the state: nothing more is served from it, nor applied to it."""
        self._halted = self._halted or event.words or _epitaph(event)
        trio = self._trio
        if not trio.alive:
            trio.due = None
            return [Halted(self._halted)]
        if trio.ending:
            return []
        trio.ending, trio.epitaph = True, _epitaph(event)
        return [Withdraw(), Kill(trio.living())]

    def _halt(self, event: Exited) -> list[Effect]:
        """Remember why. What a failed sync left on the disk nobody knows, so it is also put on record (S13)."""
        detail = event.words or _epitaph(event)
        if event.exit_code != SyncFailed.exit_code:
            self._halted = self._halted or detail
            return []
        self._halted = sync_failure_reason(detail)
        return [RecordSyncFailure(detail)]

    def _on_unit_ended(self, unit: _Unit, now: float) -> list[Effect]:
        if unit is not self._trio:
            unit.schedule(now)
            return []
        if not self._halted:
            unit.schedule(now)
            return [Forget()]
        return [Forget(), Halted(self._halted)]

    def _start_due(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for unit in self._units():
            if unit.due is not None and unit.due <= now:
                effects.append(unit.restart(now))
                for actor in unit.actors:
                    self.restarts[actor] += 1
        return effects

    def _on_stop(self, now: float, exit_code: int) -> list[Effect]:
        if self._stop_since is not None:
            if self._exit_code == NotYetMember.exit_code:
                self._exit_code = exit_code  # who wants it to stop does not want it to begin anew
            return []
        self._stop_since, self._exit_code = now, exit_code
        return self._terminate(self._gateways)

    def _go_on_stopping(self, now: float) -> list[Effect]:
        """Gateways first, so that requests end before those who answer them; then the trio."""
        since = now if self._stop_since is None else self._stop_since
        if any(gateway.alive for gateway in self._gateways):
            return self._kill(self._gateways) if now >= since + GATEWAY_STOP_SECONDS else []
        if not self._trio.alive:
            return [Finished(self._exit_code)]
        if not self._trio.ending:
            return [Withdraw(), *self._terminate([self._trio])]
        return self._kill([self._trio]) if now >= since + STOP_SECONDS else []

    def _terminate(self, units: Sequence[_Unit]) -> list[Effect]:
        actors = tuple(actor for unit in units if not unit.ending for actor in unit.living())
        for unit in units:
            unit.ending = True
        return [Terminate(actors)] if actors else []

    def _kill(self, units: Sequence[_Unit]) -> list[Effect]:
        actors = self._to_kill(units)
        self._killed_by_stop.update(actors)
        return [Kill(actors)] if actors else []

    def _to_kill(self, units: Sequence[_Unit]) -> tuple[str, ...]:
        return tuple(actor for unit in units for actor in unit.living() if actor not in self._killed_by_stop)

    def _units(self) -> list[_Unit]:
        return [self._trio, *self._gateways]


def sync_failure_reason(detail: str) -> str:
    """What an operator is told after a failed commit of the log."""
    return (
        f"a commit of the log failed: {detail}. What is on the disk can't be known. "
        "Check the disk, then run `zraft repair DATA_DIR --acknowledge-fsync-failure` and start the node again"
    )


def _epitaph(event: Exited) -> str:
    ending = f"killed by signal {-event.exit_code}" if event.exit_code < 0 else f"exit code {event.exit_code}"
    return f"{event.actor} ended ({ending}){': ' + event.words if event.words else ''}"
