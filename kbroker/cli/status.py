"""`kbroker status`: a running broker's workers with their CPU and memory, its partitions and connections."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from kbroker.cli.live_state import LiveState, read_live_state
from kbroker.cli.run_file import RunInfo, data_dir_of, data_dir_options, read_run_file, running_process

_CPU_SAMPLE_S = 0.2
_NOT_RUNNING = 3
"""Exit code of init scripts for "not running"."""


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
  kbroker status --data-dir /var/lib/kbroker --json"""


@click.command(epilog=_EPILOG)
@data_dir_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data_dir: str | None, properties: str | None, as_json: bool) -> None:
    """
    Show the broker of a data directory.

    Exits with 0 when it runs, 3 when it does not.
    """
    directory = data_dir_of(data_dir, properties)
    info = read_run_file(directory)
    if info is None or running_process(info) is None:
        if as_json:
            click.echo(json.dumps({"running": False, "data_dir": directory}))
        else:
            click.echo(f"No broker is running on {directory}.")
        sys.exit(_NOT_RUNNING)
    processes = sample_processes(info)
    live = read_live_state(info)
    click.echo(json.dumps(as_object(info, processes, live), indent=2) if as_json else as_text(info, processes, live))


def sample_processes(info: RunInfo) -> list[ProcessStatus]:
    """Return the state of the supervisor and all workers; takes a fifth of a second to measure CPU."""
    import psutil  # noqa: PLC0415 - only when used

    processes: dict[str, psutil.Process | None] = {}
    for name, pid in {"supervisor": info.pid, **info.workers}.items():
        try:
            process = psutil.Process(pid)
            process.cpu_percent()  # the first call starts the sample
            processes[name] = process
        except psutil.Error:
            processes[name] = None
    time.sleep(_CPU_SAMPLE_S)
    result = []
    for name, sampled in processes.items():
        pid = info.pid if name == "supervisor" else info.workers[name]
        try:
            if sampled is None:
                raise psutil.NoSuchProcess(pid)
            cpu = sampled.cpu_percent()
            try:
                memory = sampled.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                memory = sampled.memory_info().rss
            result.append(ProcessStatus(name, pid, True, cpu, memory))
        except psutil.Error:
            result.append(ProcessStatus(name, pid, False, 0.0, 0))
    return result


def as_object(info: RunInfo, processes: list[ProcessStatus], live: LiveState | None) -> dict[str, Any]:
    """Return what `--json` prints; counts are null when they cannot be read."""
    return {
        "running": True,
        "pid": info.pid,
        "broker_id": info.broker_id,
        "cluster_id": info.cluster_id,
        "started_ms": info.started_ms,
        "listeners": [dict(listener) for listener in info.listeners],
        "log_dirs": list(info.log_dirs),
        "partitions": live.partitions if live else None,
        "connections": live.connections if live else None,
        "workers": [
            {
                "name": one.name,
                "pid": one.pid,
                "running": one.running,
                "cpu_percent": one.cpu_percent,
                "memory_bytes": one.memory_bytes,
            }
            for one in processes
        ],
    }


def as_text(info: RunInfo, processes: list[ProcessStatus], live: LiveState | None) -> str:
    """Return what a person reads."""
    listeners = ", ".join(
        f"{one.get('name')}://{_bracketed(str(one.get('host', '')))}:{one.get('port')}" for one in info.listeners
    )
    uptime_s = max(0, int(time.time() - info.started_ms / 1000))
    lines = [
        f"Broker {info.broker_id} of cluster {info.cluster_id}, up {_duration(uptime_s)}",
        f"Listeners: {listeners}",
        f"Log directories: {', '.join(info.log_dirs)}",
    ]
    if live is not None:
        lines.append(f"Partitions: {live.partitions}   Connections: {live.connections}")
    lines += ["", f"{'PROCESS':<14}{'PID':>8}{'CPU %':>8}{'MEMORY':>12}"]
    for one in processes:
        state = f"{one.cpu_percent:>8.1f}{one.memory_bytes / 2**20:>8.1f} MiB" if one.running else "   not running"
        lines.append(f"{one.name:<14}{one.pid:>8}{state}")
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
