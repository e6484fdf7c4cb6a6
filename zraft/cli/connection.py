"""The options that every command of a client takes, and the client that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from zraft.cli.numbers import NumberRange
from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.client import Client
from zraft.client.arguments import CONSISTENCIES, TIMEOUT_S_MAX, endpoints_of
from zraft.client.client import ENDPOINTS_VARIABLE, LOCAL_ENDPOINTS, TIMEOUT_S
from zraft.errors import InvalidArgument

CLUSTER_DIRECTORY = Path(".zraft")
"""Where ``zraft dev`` keeps its cluster unless told otherwise."""

ENDPOINTS_EXAMPLE = "10.0.0.1:8080,10.0.0.2:8080"

F = TypeVar("F", bound=Callable[..., Any])


consistency_option = click.option(
    "--consistency",
    type=click.Choice(CONSISTENCIES),
    default=CONSISTENCIES[0],
    show_default=True,
    help="linearizable sees every acknowledged write; serializable is what the first node that answers has.",
)


def endpoints_option(command: F) -> F:
    """Adds ``--endpoints``."""
    return click.option(
        "--endpoints",
        envvar=ENDPOINTS_VARIABLE,
        show_envvar=True,
        metavar="HOST:PORT,...",
        callback=_checked,
        help="Nodes to talk to, best first. Default: the local cluster of this directory, or of this machine.",
    )(command)


def timeout_option(default: float, text: str) -> Callable[[F], F]:
    """Adds ``--timeout``, in seconds; the text says of what."""
    return click.option(
        "--timeout",
        type=NumberRange(min=0.001, max=TIMEOUT_S_MAX),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=text,
    )


def connection_options(command: F) -> F:
    """Adds ``--endpoints`` and ``--timeout``."""
    return endpoints_option(timeout_option(TIMEOUT_S, "How long to try, repetitions included.")(command))


def connect(endpoints: tuple[str, ...] | None, timeout: float) -> Client:
    """A client of the endpoints given, or of the local cluster."""
    return Client(known_endpoints(endpoints), timeout=timeout)


def known_endpoints(endpoints: tuple[str, ...] | None) -> tuple[str, ...]:
    """The endpoints given, or those of the local cluster, or where one would be."""
    return endpoints or local_endpoints() or LOCAL_ENDPOINTS


def local_endpoints() -> tuple[str, ...] | None:
    """The endpoints of the local cluster that was started in this directory; None if none was."""
    if not (CLUSTER_DIRECTORY / "cluster.json").exists():
        return None
    from zraft.cluster import ClusterError, LocalCluster

    try:
        return tuple(LocalCluster.load(CLUSTER_DIRECTORY).endpoints())
    except ClusterError as error:
        raise Failure(f"{error}; or name nodes with --endpoints", UNAVAILABLE) from error


def _checked(context: click.Context, parameter: click.Parameter, endpoints: str | None) -> tuple[str, ...] | None:
    try:
        return None if endpoints is None else endpoints_of(endpoints)
    except InvalidArgument as error:
        is_variable = context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT
        name = ENDPOINTS_VARIABLE if is_variable else "--endpoints"
        text = f"{name}: {error}; several are separated by commas, as in {ENDPOINTS_EXAMPLE}."
        raise click.UsageError(text, context) from None
