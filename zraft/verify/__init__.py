"""Proof of a cluster by its history: a load that keeps account of all it was told, and a check of that account."""

from zraft.verify.checker import Verdict, check
from zraft.verify.evidence import Violation
from zraft.verify.history import Command, HistoryError, Item, Operation, Result, read_history, write_history
from zraft.verify.load import CheckedLoad, LoadSettings
from zraft.verify.timeline import picture_of

__all__ = [
    "CheckedLoad",
    "Command",
    "HistoryError",
    "Item",
    "LoadSettings",
    "Operation",
    "Result",
    "Verdict",
    "Violation",
    "check",
    "picture_of",
    "read_history",
    "write_history",
]
