"""``zraft dev``: a local cluster, to try zraft out and to break it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from zraft.cli.connection import CLUSTER_DIRECTORY
from zraft.cli.manual import ManualGroup
from zraft.cli.numbers import WholeRange
from zraft.cli.outcomes import UNAVAILABLE, Failure
from zraft.cli.output import output_option, tell
from zraft.cli.tables import table
from zraft.cli.top_sampling import HTTP_OFFSET
from zraft.cluster import ClusterError, LocalCluster, Ports
from zraft.config import MEMBERS_MAX
from zraft.core.restarts import TRIO

_ENDS = (UNAVAILABLE,)
ACTORS = ("supervisor", *TRIO, "gateway")
F = TypeVar("F", bound=Callable[..., Any])


class _Commands(ManualGroup):
    """The commands of a local cluster: what it can't do is a failure in words."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except ClusterError as error:
            raise Failure(str(error), UNAVAILABLE) from None


def _directory(command: F) -> F:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        default=CLUSTER_DIRECTORY,
        show_default=True,
        help="Where the cluster's data, logs and cluster.json are.",
    )(command)


_node = click.argument("node")


@click.group(cls=_Commands)
def dev() -> None:
    """A local cluster, to try zraft out and to break it.

    Node node-I has client port 8080+I, HTTP port 9090+I and three peer ports from 7080+10*I on, unless `zraft dev up`
    is given others. The nodes run on when the command has ended. Commands that are given in the same directory find the
    cluster by themselves.
    """


@dev.command(
    examples=[
        "zraft dev up",
        "zraft dev up --nodes 5 --dir /tmp/five",
        "zraft dev up --dir /tmp/second --client-port 8180 --peer-port 7280 # beside another one",
    ],
    ends=_ENDS,
)
@click.option("--nodes", type=WholeRange(1, MEMBERS_MAX), default=3, show_default=True, metavar="N", help="How many.")
@click.option(
    "--client-port",
    type=WholeRange(0, 65_535 - HTTP_OFFSET - MEMBERS_MAX),
    default=Ports().client,
    show_default=True,
    metavar="BASE",
    help=f"Node node-I has client port BASE+I, and HTTP port BASE+{HTTP_OFFSET}+I.",
)
@click.option(
    "--peer-port",
    type=WholeRange(0, 65_533 - 10 * MEMBERS_MAX),
    default=Ports().peer,
    show_default=True,
    metavar="BASE",
    help="Node node-I has peer port BASE+10*I, and the two after it.",
)
@_directory
@output_option("leader_id, directory, and nodes with name, endpoint and http", table="for people, and what to try")
def up(nodes: int, client_port: int, peer_port: int, directory: Path, output: str) -> None:
    """Start a cluster; returns when a leader is ready to write."""
    ports = Ports(client=client_port, http=client_port + HTTP_OFFSET, peer=peer_port)
    cluster = LocalCluster(directory, nodes, ports=ports)
    _require_distinct_ports(cluster)
    cluster.up()
    settings = [cluster.settings(name) for name in cluster.names]
    rows = [(one.id, one.client_endpoint(), f"http://{one.host}:{one.http_port}") for one in settings]
    leader = cluster.leader()
    document = {
        "leader_id": leader,
        "directory": str(directory),
        "nodes": [dict(zip(("name", "endpoint", "http"), row, strict=True)) for row in rows],
    }
    text = [table([("NODE", "CLIENTS", "HTTP"), *rows]), "", *_to_try(cluster, leader, directory)]
    tell(output, "\n".join(text), document)


def _require_distinct_ports(cluster: LocalCluster) -> None:
    users: dict[int, str] = {}
    for name in cluster.names:
        for port in cluster.settings(name).ports().values():
            if users.setdefault(port, name) != name:
                text = f"{users[port]} and {name} would both have port {port}"
                raise click.UsageError(f"{text}: choose --client-port and --peer-port further apart")


def _to_try(cluster: LocalCluster, leader: str, directory: Path) -> Iterator[str]:
    program = _program()
    # Commands find the cluster of the default directory by themselves.
    others = "" if directory == CLUSTER_DIRECTORY else f" --dir {directory}"
    yield f"The leader is {leader}. Data and logs are in {directory}. Try:"
    yield f"  {program} put greeting hello --endpoints {cluster.endpoints()[0]}"
    yield f"  {program} get greeting --endpoints {cluster.endpoints()[-1]} --consistency serializable"
    yield f"  {program} dev kill leader{others}"


@dev.command(examples=["zraft dev down"], ends=_ENDS)
@_directory
def down(directory: Path) -> None:
    """Stop all nodes; their data stays."""
    if not (directory / "cluster.json").exists():
        click.echo(f"no local cluster runs in {directory}")
        return
    LocalCluster.load(directory).down()
    click.echo("stopped")


@dev.command(examples=["zraft dev status"], ends=_ENDS)
@_directory
@output_option("nodes with name, processes, endpoint, state, current_term, leader_id and last_applied")
def status(directory: Path, output: str) -> None:
    """Show whether each node runs, and what it tells of itself."""
    cluster = LocalCluster.load(directory)
    nodes: list[dict[str, object]] = []
    for name, answer in cluster.status().items():
        known = {
            "name": name,
            "processes": cluster.condition(name),
            "endpoint": cluster.settings(name).client_endpoint(),
        }
        told = {one: getattr(answer, one, None) for one in ("state", "current_term", "leader_id", "last_applied")}
        nodes.append(known | told)
    rows = [tuple("-" if cell is None else cell for cell in node.values()) for node in nodes]
    head = ("NODE", "PROCESSES", "CLIENTS", "STATE", "TERM", "LEADER", "APPLIED")
    tell(output, table([head, *rows]), {"nodes": nodes})


@dev.command(examples=["zraft dev kill leader", "zraft dev kill node-2 --actor gateway"], ends=_ENDS)
@_node
@click.option("--actor", type=click.Choice(ACTORS), help="Only this one.")
@_directory
def kill(node: str, actor: str | None, directory: Path) -> None:
    """SIGKILL to all processes of NODE, or to one actor of it.

    NODE is a name, or `leader`.
    """
    cluster = LocalCluster.load(directory)
    name = _named(cluster, node)
    cluster.kill(name, actor)
    click.echo(f"killed {actor + ' of ' if actor else ''}{name}")


@dev.command(examples=["zraft dev pause leader"], ends=_ENDS)
@_node
@_directory
def pause(node: str, directory: Path) -> None:
    """SIGSTOP to all processes of NODE.

    NODE is a name, or `leader`.
    """
    cluster = LocalCluster.load(directory)
    name = _named(cluster, node)
    cluster.pause(name)
    click.echo(f"paused {name}")


@dev.command(examples=["zraft dev resume node-1"], ends=_ENDS)
@_node
@_directory
def resume(node: str, directory: Path) -> None:
    """SIGCONT to all processes of NODE."""
    cluster = LocalCluster.load(directory)
    name = _named(cluster, node)
    cluster.resume(name)
    click.echo(f"resumed {name}")


@dev.command(examples=["zraft dev restart node-1"], ends=_ENDS)
@_node
@_directory
def restart(node: str, directory: Path) -> None:
    """Stop NODE if it runs, and start it.

    NODE is a name, or `leader`. It returns when the node answers.
    """
    cluster = LocalCluster.load(directory)
    name = _named(cluster, node)
    cluster.restart(name)
    click.echo(f"restarted {name}")


@dev.command("rolling-restart", examples=["zraft dev rolling-restart"], ends=_ENDS)
@_directory
def rolling_restart(directory: Path) -> None:
    """Restart one node after the other, the leader last.

    Each has caught up before the next one stops. Clients see no error: a node that stops hands the leadership over
    first.
    """
    for name in LocalCluster.load(directory).rolling_restart():
        click.echo(f"restarted {name}")


def _named(cluster: LocalCluster, node: str) -> str:
    if node == "leader":
        return cluster.leader()
    if node not in cluster.names:
        raise click.UsageError(f"there is no node {node!r}: say leader, or one of {', '.join(cluster.names)}")
    return node


def _program() -> str:
    """How the reader can run this program again: it may not be on the path."""
    program = Path(sys.argv[0])
    if program.name != "zraft":
        return f"{_path(sys.executable)} -m zraft"
    return "zraft" if shutil.which("zraft") else _path(program)


def _path(file: str | Path) -> str:
    """As short as the reader would write it: from here, if it is below, and else whole."""
    relative = os.path.relpath(file)
    return os.path.abspath(file) if relative.startswith(os.pardir) else relative
