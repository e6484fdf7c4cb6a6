"""Processes of zraft's own modules, which must be those of the process that starts them."""

from __future__ import annotations

import os
import sys


def module_process(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a process that runs a module.

    It imports from where this one does, and not from the working directory, in which anybody may have put modules.
    """
    path = os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry))
    return [sys.executable, "-P", "-m", module, *arguments], os.environ | {"PYTHONPATH": path}
