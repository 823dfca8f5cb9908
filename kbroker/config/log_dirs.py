"""Making the log directories ready before anything is started."""

from __future__ import annotations

import os
from typing import NamedTuple

from kbroker.config.components import LogDirsConfig
from kbroker.errors import StartupError


class FailedLogDir(NamedTuple):
    """A log directory that cannot be used, and why."""

    directory: str
    reason: str


def prepare_log_dirs(config: LogDirsConfig) -> tuple[tuple[str, ...], tuple[FailedLogDir, ...]]:
    """
    Create missing log directories and check that they can be written.

    Returns the usable directories in order, and those that cannot be used: these are offline, the others serve.
    Raises StartupError, naming each directory and what is wrong with it, when none is usable.
    """
    usable: list[str] = []
    failed: list[FailedLogDir] = []
    for directory in config.directories:
        reason = _problem(directory)
        if reason:
            failed.append(FailedLogDir(directory, reason))
        else:
            usable.append(directory)
    if not usable:
        problems = "; ".join(f"{one.directory}: {one.reason}" for one in failed)
        raise StartupError(f"log.dirs: no directory can be used ({problems}); name a writable one in log.dirs")
    return tuple(usable), tuple(failed)


def _problem(directory: str) -> str:
    """Return why `directory` cannot hold logs; empty when it can."""
    try:
        os.makedirs(directory, exist_ok=True)
        os.listdir(directory)
    except FileExistsError:
        return "it is a file, not a directory"
    except OSError as error:
        return error.strerror or str(error)
    if not os.access(directory, os.W_OK | os.X_OK):
        return "it is not writable"
    return ""
