"""`kbroker status`: a running broker's workers with their CPU and memory, its partitions and connections."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from kbroker.cli.directory_lock import proc_is_of_here
from kbroker.cli.live_state import LiveState, read_live_state
from kbroker.cli.run_file import RunFileError, RunInfo, read_run_file
from kbroker.cli.running_broker import (
    CannotTell,
    NoBroker,
    RunningBroker,
    data_dir_options,
    find_running_broker,
    named_directories,
)

_CPU_SAMPLE_S = 0.2
_NOT_RUNNING = 3
_UNKNOWN = 4
"""Exit codes of init scripts for "not running" and "unknown"."""
_STARTING = 5
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """
    One process of the broker.

    cpu_percent   of one core, over a short sample
    memory_bytes  proportional set size (shared pages counted in parts), else resident set size; 0 when it has ended
    """

    name: str
    pid: int
    running: bool
    cpu_percent: float
    memory_bytes: int


_EPILOG = """\b
Examples:
  kbroker status
  kbroker status --data-dir /var/lib/kbroker --json
  kbroker start & kbroker status --wait 30        # and it serves"""


@click.command(epilog=_EPILOG)
@data_dir_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait until it serves, so long at most; exit with 5 when it is starting or stopping then.",
)
def command(data_dir: str | None, properties: str | None, as_json: bool, wait_s: float | None) -> None:
    """
    Show the broker of a data directory.

    Exits with 0 when it runs, 3 when none can be seen from here, 4 when that cannot be told.
    """
    directories = named_directories(data_dir, properties)
    if wait_s is not None:
        _wait_until_it_serves(directories, wait_s)
    try:
        broker = find_running_broker(directories)
    except (NoBroker, CannotTell) as error:
        if as_json:
            click.echo(json.dumps({"running": False, "data_dir": directories[0], "reason": str(error)}))
        else:
            click.echo(f"{str(error)[0].upper()}{str(error)[1:]}.")
        sys.exit(_NOT_RUNNING if isinstance(error, NoBroker) else _UNKNOWN)
    told = ""
    try:
        info = read_run_file(broker.directory)
    except RunFileError as error:
        info, told = None, str(error)
    processes = sample_processes(broker, info)
    if info is None:
        _show_unknown(
            broker, processes, told or "it is starting or stopping, and has told no more about itself", as_json
        )
        if wait_s is not None and not told:
            sys.exit(_STARTING)
        return
    live = read_live_state(broker.pid, info) if proc_is_of_here() else None
    click.echo(
        json.dumps(as_object(broker, info, processes, live), indent=2) if as_json else as_text(info, processes, live)
    )


def _wait_until_it_serves(directories: Sequence[str], wait_s: float) -> None:
    """Return when a broker has told that it serves, or at the deadline; whatever else there is to say is said later."""
    deadline_s = time.monotonic() + wait_s
    while True:
        with contextlib.suppress(NoBroker, CannotTell):
            broker = find_running_broker(directories)
            with contextlib.suppress(RunFileError):
                if read_run_file(broker.directory) is not None:
                    return
        if time.monotonic() >= deadline_s:
            return
        time.sleep(min(_POLL_S, max(0.0, deadline_s - time.monotonic())))


def _show_unknown(broker: RunningBroker, processes: list[ProcessStatus], told: str, as_json: bool) -> None:
    """Print what there is to say of a broker whose run file says nothing."""
    if as_json:
        workers = [_as_entry(one) for one in processes]
        click.echo(json.dumps({"running": True, "pid": broker.pid, "reason": told, "workers": workers}, indent=2))
    else:
        click.echo(f"A broker runs on {broker.directory}; {told}\n\n{_as_table(processes)}")


def sample_processes(broker: RunningBroker, info: RunInfo | None) -> list[ProcessStatus]:
    """Return the state of the supervisor and all workers; takes a fifth of a second to measure CPU."""
    import psutil  # noqa: PLC0415 - only when used

    if not proc_is_of_here():
        return [ProcessStatus("supervisor", broker.pid, True, 0.0, 0)]
    pids = {"supervisor": broker.pid}
    seen = _workers_seen(broker.pid)
    for name, pid in info.workers.items() if info else ():
        pids[name] = seen.get(pid, 0)
    processes: dict[str, psutil.Process | None] = {}
    for name, pid in pids.items():
        try:
            if not pid:
                raise psutil.NoSuchProcess(pid)
            process = psutil.Process(pid)
            process.cpu_percent()  # the first call starts the sample
            processes[name] = process
        except psutil.Error:
            processes[name] = None
    time.sleep(_CPU_SAMPLE_S)
    result = []
    for name, sampled in processes.items():
        try:
            if sampled is None:
                raise psutil.NoSuchProcess(pids[name])
            cpu = sampled.cpu_percent()
            try:
                memory = sampled.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                memory = sampled.memory_info().rss
            result.append(ProcessStatus(name, pids[name], True, cpu, memory))
        except psutil.Error:
            result.append(ProcessStatus(name, pids[name], False, 0.0, 0))
    return result


def _workers_seen(supervisor: int) -> dict[int, int]:
    """
    Return the supervisor's children: the process id that the broker knows each by → the one it has here.

    They differ where the broker runs in a pid namespace of its own, below this one.
    """
    import psutil  # noqa: PLC0415 - only when used

    seen = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(supervisor).children():
            number = child.pid
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{child.pid}/status", encoding="utf-8") as file:
                # Outermost first, from the namespace that is looked from.
                number = next((int(line.split()[-1]) for line in file if line.startswith("NSpid:")), number)
            seen[number] = child.pid
    return seen


def as_object(
    broker: RunningBroker, info: RunInfo, processes: list[ProcessStatus], live: LiveState | None
) -> dict[str, Any]:
    """Return what `--json` prints; counts are null when they cannot be read."""
    return {
        "running": True,
        "pid": broker.pid,
        "broker_id": info.broker_id,
        "cluster_id": info.cluster_id,
        "started_ms": info.started_ms,
        "listeners": [dict(listener) for listener in info.listeners],
        "log_dirs": list(info.log_dirs),
        "partitions": live.partitions if live else None,
        "connections": live.connections if live else None,
        "workers": [_as_entry(one) for one in processes],
    }


def _as_entry(one: ProcessStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "pid": one.pid,
        "running": one.running,
        "cpu_percent": one.cpu_percent,
        "memory_bytes": one.memory_bytes,
    }


def as_text(info: RunInfo, processes: list[ProcessStatus], live: LiveState | None) -> str:
    """Return what a person reads."""
    listeners = ", ".join(
        f"{one.get('name')}://{_bracketed(str(one.get('host', '')))}:{one.get('port')}" for one in info.listeners
    )
    uptime_s = max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) - info.started_boottime_ms / 1000))
    lines = [
        f"Broker {info.broker_id} of cluster {info.cluster_id}, up {_duration(uptime_s)}",
        f"Listeners: {listeners}",
        f"Log directories: {', '.join(info.log_dirs)}",
    ]
    if live is not None:
        lines.append(f"Partitions: {live.partitions}   Connections: {live.connections}")
    return "\n".join([*lines, "", _as_table(processes)])


def _as_table(processes: list[ProcessStatus]) -> str:
    lines = [f"{'PROCESS':<14}{'PID':>8}{'CPU %':>8}{'MEMORY':>12}"]
    for one in processes:
        state = f"{one.cpu_percent:>8.1f}{one.memory_bytes / 2**20:>8.1f} MiB" if one.running else "   not running"
        lines.append(f"{one.name:<14}{one.pid or '-':>8}{state}")
    total = sum(one.memory_bytes for one in processes)
    lines.append(f"{'total':<14}{'':>8}{sum(one.cpu_percent for one in processes):>8.1f}{total / 2**20:>8.1f} MiB")
    return "\n".join(lines)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
