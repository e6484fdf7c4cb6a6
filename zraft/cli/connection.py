"""The options that every command of a client takes, and the client that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zraft.client import Client
from zraft.client.arguments import endpoints_of
from zraft.client.client import ENDPOINTS_VARIABLE, TIMEOUT_S
from zraft.errors import InvalidArgument

CLUSTER_DIRECTORY = Path(".zraft")
"""Where ``zraft dev`` keeps its cluster unless told otherwise."""

F = TypeVar("F", bound=Callable[..., Any])


def connection_options(command: F) -> F:
    """Adds ``--endpoints`` and ``--timeout``."""
    endpoints = click.option(
        "--endpoints",
        envvar=ENDPOINTS_VARIABLE,
        show_envvar=True,
        metavar="HOST:PORT,...",
        callback=_checked,
        help="Nodes to talk to, best first. Default: the local cluster of this directory, or of this machine.",
    )
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0.001, max=3600),
        default=TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to try, repetitions included.",
    )
    return endpoints(timeout(command))


def connect(endpoints: tuple[str, ...] | None, timeout: float) -> Client:
    """A client of the endpoints given, or of the local cluster."""
    return Client(endpoints or local_endpoints(), timeout=timeout)


def local_endpoints() -> tuple[str, ...] | None:
    """The endpoints of the local cluster that was started in this directory; None if none was."""
    if not (CLUSTER_DIRECTORY / "cluster.json").exists():
        return None
    from zraft.cluster import LocalCluster

    return tuple(LocalCluster.load(CLUSTER_DIRECTORY).endpoints())


def _checked(context: click.Context, parameter: click.Parameter, endpoints: str | None) -> tuple[str, ...] | None:
    try:
        return endpoints_of(endpoints) if endpoints else None
    except InvalidArgument as error:
        raise click.BadParameter(str(error)) from None
