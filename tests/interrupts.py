"""Signals at chosen moments: what a handler does that runs at one of the points at which Python looks for signals."""

import dis
import gc
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, ParamSpec

P = ParamSpec("P")

# Python runs handlers after these (CPython 3.11 to 3.13), and nowhere else between two instructions: when a function
# begins or goes on, when a loop goes round, after a call.
_BEGUN = -1
_CHECKED = {"RESUME", "JUMP_BACKWARD", "CALL", "CALL_KW", "CALL_FUNCTION_EX"}


@cache
def _checked(code: CodeType) -> frozenset[int]:
    """The offsets of those instructions."""
    return frozenset(one.offset for one in dis.get_instructions(code) if one.opname in _CHECKED)


Visit = Callable[[FrameType], None]


def _watch(within: str, begin: Visit, visit: Visit, end: Visit) -> Callable[[], None]:
    """From now on ``visit`` the frame before each instruction of code ``within``, ``begin`` and ``end`` it around them.

    Returns:
        What ends that.
    """

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if within not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event in visits:
            visits[event](frame)
        return trace

    visits = {"call": begin, "opcode": visit, "return": end}
    former = sys.gettrace()
    sys.settrace(trace)
    return lambda: sys.settrace(former)


if sys.version_info >= (3, 12):  # from there on a function that runs for the first time is not traced by instruction

    def _watch(within: str, begin: Visit, visit: Visit, end: Visit) -> Callable[[], None]:
        def calling(what: Visit) -> Callable[..., None]:
            def on_event(code: CodeType, *_: object) -> None:
                if thread == get_ident() and within in code.co_filename and code.co_filename != __file__:
                    what(sys._getframe(1))

            return on_event

        thread = get_ident()
        tool, events = sys.monitoring.PROFILER_ID, sys.monitoring.events
        visits = {events.PY_START: begin, events.INSTRUCTION: visit, events.PY_RETURN: end, events.PY_UNWIND: end}
        sys.monitoring.use_tool_id(tool, "interrupts")
        for event, what in visits.items():
            sys.monitoring.register_callback(tool, event, calling(what))
        sys.monitoring.set_events(tool, sum(visits))

        def stop() -> None:
            sys.monitoring.set_events(tool, 0)
            sys.monitoring.free_tool_id(tool)

        return stop


class Point:
    """A point of that number, counted from 0.

    Args:
        number: of the point, through all Python code that something runs.
        within: a part of the paths of files: only their points are counted.
    """

    def __init__(self, number: int, within: str) -> None:
        self.number = number
        self._within = within
        self.came = False
        """Whether it came to that point."""

    def run(self, handler: Callable[[], object], act: Callable[P, object], *of: P.args, **how: P.kwargs) -> None:
        """Does something, and has the handler run at this point.

        Raises:
            BaseException: what the handler or ``act`` raised.
        """
        left = self.number
        last: dict[FrameType, int] = {}

        def begin(frame: FrameType) -> None:
            last[frame] = _BEGUN

        def visit(frame: FrameType) -> None:
            nonlocal left
            if frame not in last or self.came:
                return
            before, last[frame] = last[frame], frame.f_lasti
            if before == _BEGUN or before in _checked(frame.f_code):
                left -= 1
            if left < 0:
                self.came = True
                stop()
                handler()

        def end(frame: FrameType) -> None:
            last.pop(frame, None)

        gc.disable()  # what others have left is no part of it
        stop = _watch(self._within, begin, visit, end)
        try:
            act(*of, **how)
        finally:
            if not self.came:
                stop()
            gc.enable()

    def interrupt(self, act: Callable[P, object], *of: P.args, **how: P.kwargs) -> BaseException | None:
        """Does something, and interrupts it at this point as Ctrl-C would.

        Returns:
            What came of it, if anything did: its traceback refers to all that was under way.
        """

        def raise_it() -> None:
            raise KeyboardInterrupt

        try:
            self.run(raise_it, act, *of, **how)
        except BaseException as error:
            return error
        return None


def points(within: str = "") -> Iterator[Point]:
    """One after the other, up to the first to which it did not come."""
    for number in count():
        point = Point(number, within)
        yield point
        if not point.came:
            return
