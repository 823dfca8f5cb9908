"""`kbroker systemd-unit`: the units under which systemd runs this broker, printed or put in their place."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

import kbroker
from kbroker.config.broker_config import BrokerConfig, load_config
from kbroker.config.listeners import Listener, is_address, is_loopback_name
from kbroker.config.user_directories import user_directory
from kbroker.errors import KbrokerError

_NAME = re.compile(r"[a-zA-Z0-9:_.\\-]+")
_ROOTS_HOME = "/root"
_HOMES = ("/home", _ROOTS_HOME, "/run/user")
"""What ProtectHome= hides."""

_SERVICE = """\
# Made by `kbroker systemd-unit`. Changes of your own go into a drop-in: {edit}
[Unit]
Description=kbroker, a Kafka-compatible message broker
{unit}
[Service]
Type=notify
ExecStart={command}
{where}
# Workers are told by the supervisor, in order; what it cannot end in time systemd ends.
KillMode=mixed
# A start after a crash may have much to recover; what hangs in it the supervisor ends.
TimeoutStartSec=infinity
TimeoutStopSec=2min
WatchdogSec=30s
Restart=on-failure
RestartSec=2s
# A worker that the kernel kills for want of memory is started again by the supervisor.
OOMPolicy=continue
LimitNOFILE=524288

{sandbox}
[Install]
WantedBy={wanted_by}
"""

_NO_NAMESPACES = """\
# What the broker never does is forbidden.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""
"""Sandboxing that a user's systemd can do, too."""

_NAMESPACES = """\
# It sees the system read-only, no home, no device, and no file of others in /tmp.
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet={capabilities}
{ambient}RemoveIPC=yes
"""

_SOCKET = """\
# Made by `kbroker systemd-unit --socket`. Clients that come while the broker starts, or between two of its lives, wait.
[Unit]
Description=Sockets of kbroker, a Kafka-compatible message broker

[Socket]
{streams}
Backlog={backlog}
# `::` takes IPv4 too.
BindIPv6Only=both

[Install]
WantedBy=sockets.target
"""


class UnitError(KbrokerError):
    """A unit cannot be made, or not be put in its place."""


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """
    What the units shall be like.

    name        of the unit, and of its state directory
    of_user     for a user's own systemd instead of the system's
    run_as      user that the broker runs as; None: one that systemd makes up, and that owns its state directory
    executable  command and first arguments that start kbroker
    """

    name: str
    of_user: bool
    run_as: str | None
    properties: str | None
    overrides: Sequence[str]
    executable: Sequence[str]


_EPILOG = """\b
Examples:
  kbroker systemd-unit
  kbroker systemd-unit --user --install
  sudo kbroker systemd-unit /etc/kbroker/server.properties --install --run-as kafka"""


@click.command(epilog=_EPILOG)
@click.argument("properties", required=False, metavar="[server.properties]")
@click.option(
    "--override", "overrides", multiple=True, metavar="KEY=VALUE", help="Handed on to `kbroker start`. Repeatable."
)
@click.option(
    "--user/--system",
    "of_user",
    default=None,
    help="For your own systemd, or the system's (default: the system's for root).",
)
@click.option(
    "--run-as", metavar="USER", help="Whom the system's service runs as (default: a user made up by systemd)."
)
@click.option("--socket", "of_socket", is_flag=True, help="The .socket unit, by which systemd binds the listeners.")
@click.option("--name", default="kbroker", show_default=True, metavar="NAME", help="Of the unit, without .service.")
@click.option("--install", is_flag=True, help="Write the unit where systemd looks for it, instead of printing it.")
@click.option("--force", is_flag=True, help="With --install: replace a unit that is there and differs.")
def command(
    properties: str | None,
    overrides: tuple[str, ...],
    of_user: bool | None,
    run_as: str | None,
    of_socket: bool,
    name: str,
    install: bool,
    force: bool,
) -> None:
    """
    Print a systemd unit for a broker with this configuration, or install it.

    The service is of Type=notify with a watchdog, sandboxed, and restarted when it fails.
    """
    if not _NAME.fullmatch(name):
        raise UnitError(f"--name {name}: expected letters, digits and any of :-_.\\")
    if of_user is None:
        of_user = os.geteuid() != 0
    if of_user and run_as is not None:
        raise UnitError("--run-as: your own systemd runs everything as yourself; leave it out, or say --system")
    properties = None if properties is None else os.path.abspath(properties)
    config = load_config(properties, overrides)
    options = UnitOptions(name, of_user, run_as, properties, overrides, _executable())
    text = socket_unit(config) if of_socket else service_unit(config, options)
    if not of_socket:
        _tell_unreadable(options)
    file_name = f"{name}.{'socket' if of_socket else 'service'}"
    if not install:
        click.echo(text, nl=False)
        return
    path = unit_directory(of_user) / file_name
    _install(path, text, force=force)
    systemctl = "systemctl --user" if of_user else "systemctl"
    click.echo(f"Wrote {path}. Now:\n  {systemctl} daemon-reload\n  {systemctl} enable --now {file_name}")
    if of_user:
        click.echo("  loginctl enable-linger    # to run it while you are not logged in, too")


def unit_directory(of_user: bool) -> Path:
    """Return where an administrator's, or a user's, units lie."""
    if not of_user:
        return Path("/etc/systemd/system")
    return Path(user_directory("XDG_CONFIG_HOME", ".config", os.environ), "systemd", "user")


def service_unit(config: BrokerConfig, options: UnitOptions) -> str:
    """Return the text of the .service unit."""
    arguments = [*options.executable, "start"]
    if options.properties is not None:
        arguments.append(options.properties)
    for override in options.overrides:
        arguments += ["--override", override]
    unit = "" if options.of_user else "Wants=network-online.target\nAfter=network-online.target\n"
    where: list[str] = []
    sandbox = _NO_NAMESPACES
    command = " ".join(map(quoted, arguments))
    if not options.of_user:
        own = config.log_dirs.is_default
        if own:
            # %S is /var/lib; systemd makes the directory and gives it to whom the service runs as.
            command += f" --override log.dirs=%S/{options.name}"
            where += [f"StateDirectory={options.name}", "StateDirectoryMode=0700"]
        directories = config.log_dirs.directories
        paths = [] if own else list(directories)
        if config.metadata.directory not in directories:
            paths.append(config.metadata.directory)
        # One that is not there is told better by the broker than by systemd.
        where += [f"ReadWritePaths={quoted(f'-{path}')}" for path in paths]
        run_as = options.run_as or (None if own else _owner_of(paths[0]))
        where.append("DynamicUser=yes" if run_as is None else f"User={run_as}")
        seen = [*needed_paths(options), *paths]
        low = any(0 < listener.port < 1024 for listener in config.listeners.listeners)
        sandbox += _NAMESPACES.format(
            protect_home="read-only" if any(_lies_in_a_home(path) for path in seen) else "yes",
            capabilities="CAP_NET_BIND_SERVICE" if low else "",
            ambient="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if low else "",
        )
    return _SERVICE.format(
        edit=f"systemctl {'--user ' if options.of_user else ''}edit {options.name}",
        unit=unit,
        command=command,
        where="".join(f"{line}\n" for line in where),
        sandbox=sandbox,
        wanted_by="default.target" if options.of_user else "multi-user.target",
    ).replace("\n\n\n", "\n\n")


def needed_paths(options: UnitOptions) -> list[str]:
    """Return what the service has to read: the command, its interpreter and its modules, the file; links included."""
    found = [options.executable[0], sys.executable, sys.prefix, sys.base_prefix, kbroker.__file__]
    return found + ([] if options.properties is None else [options.properties])


def _tell_unreadable(options: UnitOptions) -> None:
    """Say which of what the service needs lies where only root can read, unless it runs as root."""
    real = map(os.path.realpath, needed_paths(options))
    unreadable = [path for path in real if path.startswith(_ROOTS_HOME + os.sep)]
    if unreadable and not options.of_user and options.run_as != "root":
        click.echo(
            f"kbroker: {unreadable[0]} lies in {_ROOTS_HOME}, where the service cannot read: install kbroker "
            "elsewhere, in /opt for example, or say --run-as root",
            err=True,
        )


def socket_unit(config: BrokerConfig) -> str:
    """Return the text of the .socket unit: every listener's addresses, which it finds again by their ports."""
    streams = [stream for listener in config.listeners.listeners for stream in _streams(listener)]
    return _SOCKET.format(
        streams="\n".join(f"ListenStream={stream}" for stream in dict.fromkeys(streams)),
        backlog=config.sockets.socket_listen_backlog_size,
    )


def _streams(listener: Listener) -> list[str]:
    """Return where systemd listens for a listener, in its notation. Raises UnitError."""
    host, port = listener.host, listener.port
    if not port:
        raise UnitError(f"listeners={listener}: systemd needs to know the port")
    if not host:
        return [str(port)]
    if is_loopback_name(host):
        return [f"127.0.0.1:{port}", f"[::1]:{port}"]
    if is_address(host):
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        raise UnitError(f"listeners={listener}: the host name is not known here, and systemd takes addresses") from None
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses]


def quoted(argument: str) -> str:
    """Return an argument as it stands in a unit file: systemd's own quotes, and nothing in it is a variable."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"' if not escaped or re.search(r"""[\s"'\\;]""", escaped) else escaped


def _lies_in_a_home(path: str) -> bool:
    real = os.path.realpath(path)
    return any(real == home or real.startswith(home + "/") for home in _HOMES)


def _owner_of(directory: str) -> str | None:
    """Return who owns the directory of data that is there already; None while there is none."""
    try:
        return Path(directory).owner()
    except (OSError, KeyError):
        return None


def _executable() -> list[str]:
    """Return the command that is running, by an absolute path."""
    beside = os.path.join(os.path.dirname(sys.executable), "kbroker")
    if os.access(beside, os.X_OK):
        return [beside]
    found = shutil.which("kbroker")
    return [os.path.abspath(found)] if found else [sys.executable, "-m", "kbroker"]


def _install(path: Path, text: str, *, force: bool) -> None:
    try:
        there = path.read_text()
    except FileNotFoundError:
        there = text
    except (OSError, UnicodeDecodeError):
        there = ""
    if there != text and not force:
        raise UnitError(f"{path} is there and differs; look at it, then replace it with --force")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UnitError(
            f"{path}: {error.strerror}; as root it can be written, or print it without --install"
        ) from error
