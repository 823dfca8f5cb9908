"""`kbroker stop`: ask the broker of a data directory to stop, and wait until it has."""

from __future__ import annotations

import sys
import time

import click

from kbroker.cli.running_broker import Stopper, data_dir_options, find_running_broker, named_directories

_DOT_S = 1.0
_POLL_S = 0.02


_EPILOG = """\b
Examples:
  kbroker stop
  kbroker stop --data-dir /var/lib/kbroker --timeout 30"""


@click.command(epilog=_EPILOG)
@data_dir_options
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds to wait."
)
def command(data_dir: str | None, properties: str | None, timeout_s: float) -> None:
    """
    Stop the broker of a data directory, in order: it flushes its logs and marks the shutdown as clean.

    Exits with 0 when it has stopped, 1 when none runs there or it did not stop in time.
    """
    broker = find_running_broker(named_directories(data_dir, properties))
    try:
        with Stopper(broker) as stopper:
            stopper.ask()
            click.echo(f"Stopping broker (pid {broker.pid})", nl=False)
            stopped = _wait(stopper, timeout_s)
    except PermissionError:
        click.echo(f"kbroker: process {broker.pid} belongs to another user; stop it as that user", err=True)
        sys.exit(1)
    except ProcessLookupError:
        # It has ended by itself in between.
        click.echo(f"Stopping broker (pid {broker.pid})", nl=False)
        stopped = True
    if stopped:
        click.echo(" stopped.")
        return
    click.echo("")
    click.echo(f"kbroker: process {broker.pid} has not stopped after {timeout_s:g} s; it goes on stopping", err=True)
    sys.exit(1)


def _wait(stopper: Stopper, timeout_s: float) -> bool:
    """Return whether the broker ends in time; print a dot each second meanwhile."""
    deadline_s = time.monotonic() + timeout_s
    next_dot_s = time.monotonic() + _DOT_S
    while not stopper.has_ended():
        if time.monotonic() >= deadline_s:
            return False
        if time.monotonic() >= next_dot_s:
            next_dot_s += _DOT_S
            click.echo(".", nl=False)
        time.sleep(_POLL_S)
    return True
