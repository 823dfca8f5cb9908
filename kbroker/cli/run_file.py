"""
`kbroker-run.json`: what a running broker tells about itself, in each of its log directories.

Written by the supervisor when the broker is ready and whenever a worker is replaced; read by `kbroker status`. It says
nothing about whether a broker runs: that the lock of the directory says (kbroker.cli.running_broker). A start removes
what an earlier broker left as soon as it holds the lock, so a file found under a lock is of the lock's holder.

Process ids in it are of the broker's own pid namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kbroker import __version__
from kbroker.errors import KbrokerError

RUN_FILE_NAME = "kbroker-run.json"
RUN_FILE_VERSION = 2
"""Counts up whenever an older or a newer kbroker would misread the file; kbroker 0.1.0 wrote 1, and did not say so."""


class RunFileError(KbrokerError):
    """A run file that cannot be understood."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """
    A broker as its run file tells it.

    started_ms           by the wall clock of then
    started_boottime_ms  since the machine was started: no step of the wall clock changes it
    listeners            as written: name, host and port of each
    workers              name → process id
    shared               what `live_state` needs to find the shared memory
    """

    pid: int
    started_ms: int
    started_boottime_ms: int
    listeners: tuple[Mapping[str, Any], ...]
    cluster_id: str
    broker_id: int
    log_dirs: tuple[str, ...]
    workers: Mapping[str, int]
    shared: Mapping[str, Any]


def read_run_file(directory: str) -> RunInfo | None:
    """
    Return what the broker of a data directory tells; None when it has told nothing (yet).

    Raises RunFileError when the file is there but cannot be read.
    """
    path = os.path.join(directory, RUN_FILE_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        version = int(content.get("version", RUN_FILE_VERSION if "started_boottime_ms" in content else 1))
        if version != RUN_FILE_VERSION:
            writer = str(content.get("kbroker") or ("a newer one" if version > RUN_FILE_VERSION else "0.1.0"))
            raise RunFileError(
                f"{path} is of format {version}, while kbroker {__version__} reads format {RUN_FILE_VERSION}; "
                f"ask the kbroker that runs there ({writer})"
            )
        return RunInfo(
            pid=int(content["pid"]),
            started_ms=int(content["started_ms"]),
            started_boottime_ms=int(content["started_boottime_ms"]),
            listeners=tuple(dict(listener) for listener in content["listeners"]),
            cluster_id=str(content["cluster_id"]),
            broker_id=int(content["broker_id"]),
            log_dirs=tuple(map(str, content["log_dirs"])),
            workers={str(name): int(pid) for name, pid in content["workers"].items()},
            shared=dict(content["shared"]),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFileError(f"{path} is damaged ({error}); a start of the broker writes it anew") from None


def remove_run_files(directories: Iterable[str]) -> None:
    """Remove the run files of these directories, whose locks the caller holds."""
    for directory in directories:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, RUN_FILE_NAME))
