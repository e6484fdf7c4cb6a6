"""Signals at chosen moments: what a handler does that runs at one of the points at which Python looks for signals."""

import dis
import gc
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from types import CodeType, FrameType
from typing import Any, ParamSpec

P = ParamSpec("P")

# Python runs handlers after these (CPython 3.11 to 3.13), and nowhere else between two instructions: when a function
# begins or goes on, when a loop goes round, after a call.
_CHECKED = {"RESUME", "JUMP_BACKWARD", "CALL", "CALL_KW", "CALL_FUNCTION_EX"}


@cache
def _checked(code: CodeType) -> frozenset[int]:
    """The offsets of those instructions."""
    return frozenset(one.offset for one in dis.get_instructions(code) if one.opname in _CHECKED)


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

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if self._within not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if event == "return":
                last.pop(frame, None)
            if event != "opcode" or self.came:
                return trace
            before = last.get(frame)
            last[frame] = frame.f_lasti
            if before is None or before in _checked(frame.f_code):  # the first one follows RESUME
                left -= 1
                if left < 0:
                    self.came = True
                    sys.settrace(None)
                    handler()
            return trace

        former = sys.gettrace()
        gc.disable()  # what others have left is no part of it
        sys.settrace(trace)
        try:
            act(*of, **how)
        finally:
            sys.settrace(former)
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
