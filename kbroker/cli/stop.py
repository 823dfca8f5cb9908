"""`kbroker stop`: ask the broker of a data directory to stop, and wait until it has."""

from __future__ import annotations

import sys
import time

import click

from kbroker.cli.run_file import data_dir_of, data_dir_options, read_run_file, running_process

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
    import psutil  # noqa: PLC0415 - only when used

    directory = data_dir_of(data_dir, properties)
    info = read_run_file(directory)
    process = running_process(info) if info else None
    if info is None or process is None:
        click.echo(f"kbroker: no broker is running on {directory}", err=True)
        sys.exit(1)
    try:
        process.terminate()
    except psutil.AccessDenied:
        click.echo(f"kbroker: process {process.pid} belongs to another user; stop it as that user", err=True)
        sys.exit(1)
    except psutil.NoSuchProcess:
        pass  # it ended by itself in between
    click.echo(f"Stopping broker (pid {process.pid})", nl=False)
    deadline_s = time.monotonic() + timeout_s
    next_dot_s = time.monotonic() + _DOT_S
    # Not process.wait: a broker that has ended but whose parent does not ask for its exit code would count as running.
    while running_process(info) is not None:
        if time.monotonic() >= deadline_s:
            break
        if time.monotonic() >= next_dot_s:
            next_dot_s += _DOT_S
            click.echo(".", nl=False)
        time.sleep(_POLL_S)
    else:
        click.echo(" stopped.")
        return
    click.echo("")
    click.echo(f"kbroker: process {process.pid} has not stopped after {timeout_s:g} s; it goes on stopping", err=True)
    sys.exit(1)
