"""``zraft node``: one node, in the foreground."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from zraft.cli.manual import Manual
from zraft.cli.outcomes import MACHINE
from zraft.config import BOUNDS, PREFIX, Settings, unknown_variables
from zraft.errors import ConfigurationError, DataDirectoryInUse, IdentityRefused, NotYetMember, StorageFault

_HELP = {
    "id": "Name of the node, the same for life.",
    "host": "Address to listen on.",
    "advertise": "Name or address, or that and :port, that clients and other gateways are told. [default: the host]",
    "port": "Port for clients.",
    "http_port": "Port for health, status and metrics.",
    "peer_port": "Port for the other nodes, and the two ports after it.",
    "data_dir": "Directory of the node's data. [default: zraft-data/<id>]",
    "addresses_of": "Whose addresses of members count: cluster (as it has stored them) or peers (as --peers has them: "
    "for a start after all addresses have changed).",
    "join": "Clients' endpoints of some members of a running cluster, which a node with an empty directory joins; "
    "if it is one of the peers, only when they have formed without it. [default: none]",
    "peers": "The cluster's first members, by their peer ports; this node may be among them. [default: it is alone]",
    "heartbeat_ms": "Time between the leader's heartbeats.",
    "election_timeout_min_ms": "Shortest time without a leader before an election; the same on every node.",
    "election_timeout_max_ms": "Longest such time.",
    "priority": "A leader hands over to a node of a higher priority, once both are calm; 0: it leads if no other can.",
    "stall_limit_ms": "How long an actor may make no progress on work it has before its leader steps down.",
    "request_timeout_ms": "How long a request may take whose client named no time.",
    "read_mode": "How linearizable reads are made safe: lease (quick) or quorum (a round each; trusts no clock).",
    "map_size_gib": "Address space of each LMDB map; it takes no space on the disk.",
    "window_entries": "Appends in flight to one peer.",
    "window_bytes": "Bytes in flight to one peer.",
    "snapshot_rate_mib": "MiB a second of a snapshot to one follower that lags behind the log.",
    "retain_revisions": "How many revisions can still be read before they are compacted; 0: no such bound.",
    "retain_seconds": "How long they can be read; whichever comes first. 0: no such bound.",
    "client_requests_max": "Requests in flight of one client connection.",
    "client_bytes_max": "Bytes in flight of one client connection.",
    "gateway_requests_max": "Requests in flight of one gateway.",
    "gateway_bytes_max": "Bytes in flight of one gateway.",
    "snapshot_log_mib": "Size of the log from which on a snapshot is made, unless half the state is more.",
    "burst_mib": "By how much history, and log (at most by its bound again), may be too long while writes come fast.",
}
_METAVARS = {"peers": "NAME=HOST:PORT,...", "join": "HOST:PORT,..."}


class _Setting(click.Option):
    """An option that may stand in a variable. What is wrong there is no fault of a flag that nobody gave."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """What an error names: where the value stands."""
        if ctx is not None and ctx.get_parameter_source(self.name or "") is ParameterSource.ENVIRONMENT:
            return f"'{self.envvar}'"
        return super().get_error_hint(ctx)


def _options(command: click.Command) -> click.Command:
    """One option for each setting. None of them has a default: what is not given is looked for in the file."""
    for field in msgspec.structs.fields(Settings):
        text = _HELP[field.name]
        if "[default:" not in text:
            bounds = "; {} to {}".format(*BOUNDS[field.name]) if field.name in BOUNDS else ""
            text += f" [default: {field.default}{bounds}]"
        option = _Setting(
            [f"--{field.name.replace('_', '-')}", field.name],
            type=int if field.type is int else str,
            envvar=f"{PREFIX}{field.name.upper()}",
            metavar=_METAVARS.get(field.name),
            help=text,
        )
        command.params.append(option)
    return command


@_options
@click.command(
    cls=Manual,
    examples=[
        "zraft node # a cluster of one",
        "zraft node --config zraft.toml",
        "zraft node --id node-1 --host 10.0.0.1 --peers node-1=10.0.0.1:7080,node-2=10.0.0.2:7080,node-3=10.0.0.3:7080",
        "zraft node --id node-4 --host 10.0.0.4 --join 10.0.0.1:8080,10.0.0.2:8080 # a new member",
        "ZRAFT_PORT=8081 zraft node",
    ],
    ends=[MACHINE, DataDirectoryInUse.exit_code, IdentityRefused.exit_code, StorageFault.exit_code],
    epilog="A flag comes before its variable ZRAFT_<FLAG>, that before the file, and that before the default.",
)
@click.option(
    "--config",
    cls=_Setting,
    envvar="ZRAFT_CONFIG",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with settings: the long flags without dashes in front, and with _ for -; peers is a table, join "
    "one string.",
)
def node(config: Path | None, **given: Any) -> int:
    """Run one node until SIGTERM, SIGHUP or Ctrl-C. Without options: a cluster of one.

    On an empty data directory the nodes of --peers form a new cluster when all of them have answered; with --join the
    node becomes a member of one that runs: first a learner, and a voter by itself when it has caught up. With both, one
    of the peers forms, and only if the others have formed without it does it join, as do all who are none of them: so
    all nodes may have the same settings, old and new ones. A node whose disk or identity can't be trusted serves
    nothing, but stays up and says why: in its log, on /health, in `zraft status`.
    """
    settings = settings_of(config, given)
    from zraft.actors.logs import set_up
    from zraft.actors.supervisor import run

    if unknown := unknown_variables(os.environ):
        # Not refused: Kubernetes sets such ones for a Service named zraft, unless it is told not to.
        set_up(settings.id, "supervisor").warning("variables that are no settings", names=",".join(unknown))
    if settings.join and settings.id not in settings.peers:
        _join(settings)
    code = run(settings)
    if code == NotYetMember.exit_code:
        _join(settings)
        code = run(settings)
    return code


def _join(settings: Settings) -> None:
    from zraft.cluster.joining import join  # only here: most nodes need no client

    join(settings)


def settings_of(config: Path | None, given: dict[str, Any]) -> Settings:
    """The checked settings of a node.

    Args:
        config: the file, if there is one.
        given: from flags and variables, by the name of the setting; None: not given.

    Raises:
        ConfigurationError: one is unknown, of the wrong type or out of bounds; says which, and where it stands.
    """
    values = _read(config) if config else {}
    values |= {name: value for name, value in given.items() if value is not None}
    if isinstance(peers := values.get("peers"), str):
        values["peers"] = _peers_of(peers)
    if "id" in values:
        values.setdefault("data_dir", f"zraft-data/{values['id']}")
    try:
        return msgspec.convert(values, Settings).check()
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{config}: {error}") from None


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{config} is no TOML file: {error}") from None


def _peers_of(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    peers = {name: address for name, _, address in pairs}
    if len(peers) != len(pairs) or not all(peers.values()):
        raise ConfigurationError(f"peers is {text!r}, but must be NAME=HOST:PORT,... with each name once")
    return peers
