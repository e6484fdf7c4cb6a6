"""What commands print: bytes as they are, for people, or in JSON."""

from __future__ import annotations

import base64
import json
import os
import select
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from zraft.cli.outcomes import MACHINE, Failure
from zraft.protocol.responses import KeyValue

SHOWN_MAX = 60
"""Characters of a key or value in a table."""

F = TypeVar("F", bound=Callable[..., Any])


class _Form(click.Choice[str]):
    """The forms in which a command prints. What is ``table`` was ``text`` with some commands of 0.1.0."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The form that is meant."""
        return super().convert("table" if value == "text" else value, param, ctx)


def output_option(json: str, *, table: str = "for people", raw: str = "", default: str = "table") -> Callable[[F], F]:
    """Adds ``--output``, with the same words for every command.

    Args:
        json: the fields of the document.
        table: what people see.
        raw: what is printed as it is; empty: the command has nothing of that kind.
        default: the form, unless another one is asked for.
    """
    meanings = {"table": table, "json": json} | ({"raw": raw} if raw else {})
    text = "; ".join(f"{form}: {meaning}" for form, meaning in meanings.items())
    return click.option("--output", type=_Form(list(meanings)), default=default, show_default=True, help=f"{text}.")


def tell(output: str, text: str, document: object) -> None:
    """Print what a command found or did: the document in JSON, laid out so that people can read it, or the text."""
    told = json.dumps(document, indent=2, ensure_ascii=False) if output == "json" else text
    write_out((f"{told}\n".encode(errors="surrogateescape"),))  # a path may be no text


def write_out(parts: Iterable[bytes]) -> None:
    """Write bytes to stdout, all of them: without a buffer (``PYTHONUNBUFFERED``) a write may take a part only."""
    out = sys.stdout.buffer
    for part in parts:
        left = memoryview(part)
        while left:
            left = left[out.write(left) :]
    out.flush()


def require_directory_of(file: Path) -> None:
    """Check that a file can be there before anything is done for it.

    Raises:
        Failure: its directory is missing. What the system says later may be of a temporary file's name.
    """
    directory = Path(os.path.realpath(file)).parent  # of what a link leads to
    if not directory.is_dir():
        raise Failure(f"there is no directory {directory}", MACHINE)


def read_in(source: IO[bytes], most: int) -> bytes:
    """Up to so many bytes, or all there are: also of a pipe that is non-blocking, where one read may not be all."""
    try:
        blocks = os.get_blocking(source.fileno())
    except OSError:  # no real file
        blocks = True
    content = source.read(most)
    while not blocks and len(content or b"") < most:
        select.select([source], [], [])
        part = source.read(most - len(content or b""))
        if part == b"":
            break
        content = (content or b"") + (part or b"")
    return content or b""


def in_json(value: bytes) -> str | dict[str, str]:
    """Bytes in JSON: text if they are UTF-8, and else ``{"base64": ...}``."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def shown(value: bytes) -> str:
    """Bytes for people, on one line that no terminal takes for commands; what is long is cut."""
    text = value[: 4 * SHOWN_MAX + 4].decode(errors="backslashreplace")
    line = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return line if len(line) <= SHOWN_MAX else f"{line[: SHOWN_MAX - 1]}…"


def item_document(item: KeyValue, keys_only: bool = False) -> dict[str, object]:
    """A key with its value and revisions, for JSON."""
    value = {} if keys_only else {"value": in_json(item.value)}
    revisions = {"create_revision": item.create_revision, "mod_revision": item.mod_revision, "version": item.version}
    return {"key": in_json(item.key), **value, **revisions}


def item_head(keys_only: bool = False) -> tuple[object, ...]:
    """The head of a table of keys; revisions are those at which a key was created and last changed."""
    return ("KEY", *(() if keys_only else ("VALUE",)), "VERSION", "CREATED", "CHANGED")


def item_row(item: KeyValue, keys_only: bool = False) -> tuple[object, ...]:
    """A row of that table."""
    value = () if keys_only else (shown(item.value),)
    return (shown(item.key), *value, item.version, item.create_revision, item.mod_revision)
