"""Proof of a cluster by its history: a load that keeps account of all it was told, and a check of that account."""

from zraft.verify.checker import Verdict, check
from zraft.verify.evidence import Violation
from zraft.verify.history import Command, HistoryError, Item, Operation, Result, read_history, write_history

__all__ = [
    "Command",
    "HistoryError",
    "Item",
    "Operation",
    "Result",
    "Verdict",
    "Violation",
    "check",
    "read_history",
    "write_history",
]
