"""How a command ends: one line on stderr that says what to do, and an exit code that a script can act on.

Nothing but a missing key and a failed precondition ends with 1.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from typing import IO, Any

import click

from zraft.errors import (
    CorruptLog,
    CorruptSnapshot,
    CorruptState,
    DataDirectoryInUse,
    FatalError,
    IdentityRefused,
    NotExecuted,
    PreconditionFailed,
    StateDiverged,
    StorageFault,
    Unknown,
    ZraftError,
)

DONE = 0
NOT_FOUND = 1
USAGE = 2
UNAVAILABLE = 3
UNKNOWN = 4
REJECTED = 5
VIOLATED = 6
UNWELL = 7
BUG = 70
MACHINE = 71
INTERRUPTED = 130
NOBODY_READS = 141

MEANINGS = {
    DONE: "done",
    NOT_FOUND: "key not found, or a precondition failed",
    USAGE: "wrong usage or configuration",
    UNAVAILABLE: "unavailable: certainly not done",
    UNKNOWN: "outcome unknown: it may have been done",
    REJECTED: "rejected: the same request would be refused again; or what was to be read is damaged",
    VIOLATED: "the answers of a cluster contradict each other: it lost or mixed up something",
    UNWELL: "the cluster serves, but not all of its members are well",
    BUG: "a bug of zraft",
    MACHINE: "the operating system refused something",
    DataDirectoryInUse.exit_code: "another process uses the data directory",
    IdentityRefused.exit_code: "the cluster refuses the node, or data is of a format that this version does not know",
    StorageFault.exit_code: "the data directory can't be used",
    INTERRUPTED: "interrupted, by Ctrl-C for example",
    NOBODY_READS: "nobody reads the output any more",
}
"""All exit codes of the command line."""


class Failure(click.ClickException):
    """A command failed: the sentence for people, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def show(self, file: IO[Any] | None = None) -> None:
        """Writes the sentence to stderr. If nobody can read it there, the exit code still says what happened."""
        with contextlib.suppress(OSError):
            click.echo(f"zraft: {self.message}", file=file, err=True)


def exit_code_of(run: Callable[[], object]) -> int:
    """Runs a command line of click's (not in its standalone mode), shows its error, and returns its exit code."""
    try:
        code = run()
    except click.exceptions.NoArgsIsHelpError as error:
        with contextlib.suppress(OSError):
            error.show()
        return USAGE
    except click.UsageError as error:
        help_of = f" See `{error.ctx.command_path} --help`." if error.ctx else ""
        Failure(f"{_sentence(error.format_message())}{help_of}", USAGE).show()
        return USAGE
    except Failure as error:
        error.show()
        return error.code
    except click.ClickException as error:  # its own are 1: a file that can't be read, ...
        Failure(error.format_message(), USAGE).show()
        return USAGE
    except click.Abort:
        return INTERRUPTED
    except SystemExit:
        return NOBODY_READS  # what click makes of EPIPE
    except Exception as error:
        failure = _failure_of(error)
        failure.show()
        return failure.code
    return code if isinstance(code, int) else DONE


def _sentence(text: str) -> str:
    """Some errors end with a period, or a question, others don't; another sentence follows."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _failure_of(error: Exception) -> Failure:
    match error:
        case PreconditionFailed():
            return Failure(f"precondition failed: {error}", NOT_FOUND)
        case NotExecuted():
            advice = "See which nodes are up with `zraft status`, then repeat it."
            return Failure(f"unavailable, nothing was done: {error}. {advice}", UNAVAILABLE)
        case Unknown():
            advice = "A read that does not show it proves nothing: repeat only what has an --expected-revision."
            return Failure(f"outcome unknown: {error}. {advice}", UNKNOWN)
        case ZraftError():
            return Failure(f"rejected: {error}", REJECTED)
        case CorruptLog() | CorruptState() | StateDiverged() | CorruptSnapshot():
            return Failure(str(error), REJECTED)
        case FatalError():
            return Failure(str(error), error.exit_code)
        case OSError():
            return Failure(str(error), MACHINE)
    return Failure(f"this is a bug of zraft, please report it:\n{''.join(traceback.format_exception(error))}", BUG)
