"""
`kbroker-run.json`: what a running broker tells about itself, in its first log directory.

Written by the supervisor when the broker is ready and whenever a worker is replaced; read by `kbroker status` and
`kbroker stop`. A file left by a killed broker is told apart by the process id: it is gone, or younger than
the file says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kbroker.config.broker_config import load_config
from kbroker.errors import KbrokerError

if TYPE_CHECKING:
    import psutil

RUN_FILE_NAME = "kbroker-run.json"

_CLOCK_SLACK_MS = 2000
"""The kernel's start times of processes are of ticks since boot; they and the wall clock may drift apart."""


class RunFileError(KbrokerError):
    """A run file that cannot be understood."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """
    A broker as its run file tells it.

    listeners  as written: name, host and port of each
    workers    name → process id
    shared     what `live_state` needs to find the shared memory
    """

    pid: int
    started_ms: int
    listeners: tuple[Mapping[str, Any], ...]
    cluster_id: str
    broker_id: int
    log_dirs: tuple[str, ...]
    workers: Mapping[str, int]
    shared: Mapping[str, Any]


def data_dir_of(data_dir: str | None, properties: str | None) -> str:
    """Return the first log directory that the options of a command name; the default one when they name none."""
    if data_dir is not None:
        return os.path.abspath(data_dir)
    return load_config(properties).log_dirs.directories[0]


def read_run_file(directory: str) -> RunInfo | None:
    """
    Return what the broker of a data directory tells; None when there is no file, so none runs.

    Raises RunFileError when the file is there but cannot be read.
    """
    path = os.path.join(directory, RUN_FILE_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return RunInfo(
            pid=int(content["pid"]),
            started_ms=int(content["started_ms"]),
            listeners=tuple(content.get("listeners", ())),
            cluster_id=str(content.get("cluster_id", "")),
            broker_id=int(content.get("broker_id", -1)),
            log_dirs=tuple(content.get("log_dirs", (directory,))),
            workers={str(name): int(pid) for name, pid in content.get("workers", {}).items()},
            shared=content.get("shared", {}),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFileError(f"{path} is damaged ({error}); a start of the broker writes it anew") from None


def running_process(info: RunInfo) -> psutil.Process | None:
    """Return the broker's process if it is still the one that wrote the file; None when it has ended."""
    import psutil  # noqa: PLC0415 - `kbroker start` need not pay for it

    try:
        process = psutil.Process(info.pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.create_time() * 1000 > info.started_ms + _CLOCK_SLACK_MS:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def data_dir_options(function: Any) -> Any:
    """Add --data-dir and --config, by which `stop` and `status` find a broker."""
    function = click.option(
        "--config", "properties", metavar="FILE", help="server.properties the broker was started with."
    )(function)
    return click.option(
        "--data-dir", metavar="DIR", help="Its first log directory (default: the one used without a file)."
    )(function)
