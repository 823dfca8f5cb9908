"""
What a failed system call under a log directory means: whom it concerns, whether it passes, and what a person can do.

    MOMENT     a shortage of this moment: what was under way is undone and answered KAFKA_STORAGE_ERROR; tried again
    SPACE      the disk is full: the same, until there is room
    PARTITION  one partition's file: its log goes offline, and is opened again as soon as that works
    DIRECTORY  the disk: the whole log directory goes offline, until the broker is restarted (KIP-112)

An error that names one partition's file may still come from the directory around it: when that can no longer be used,
the fault is the directory's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from kbroker.errors import KafkaError, LogDirFailed

_KAFKA_STORAGE_ERROR = 56


class Concerns(IntEnum):
    """Whom a failed system call concerns."""

    MOMENT = 0
    SPACE = 1
    PARTITION = 2
    DIRECTORY = 3


class DiskFault(NamedTuple):
    """What an errno means here; `advice` is what a person can do about it."""

    concerns: Concerns
    advice: str


_MOMENT, _SPACE, _PARTITION, _DIRECTORY = Concerns.MOMENT, Concerns.SPACE, Concerns.PARTITION, Concerns.DIRECTORY
_LOOK_AT_DISK = "look for what the system says of the disk (dmesg), then restart the broker"
_IN_THE_WAY = "something that is not the broker's lies there: move it away"
_PERMIT = "give the broker's user access to it again"
_MOUNT = "mount the file system again, then restart the broker"

DISK_FAULTS: Mapping[int, DiskFault] = MappingProxyType(
    {
        errno.EMFILE: DiskFault(_MOMENT, "let the broker open more files: ulimit -n, LimitNOFILE="),
        errno.ENFILE: DiskFault(_MOMENT, "let the system open more files: fs.file-max"),
        errno.ENOMEM: DiskFault(_MOMENT, "the system or the container is out of memory"),
        errno.ENOBUFS: DiskFault(_MOMENT, "the system is out of memory"),
        errno.EINTR: DiskFault(_MOMENT, "nothing: it is tried again"),
        errno.EAGAIN: DiskFault(_MOMENT, "nothing: it is tried again"),
        errno.EBUSY: DiskFault(_MOMENT, "somebody else holds it; it is tried again"),
        errno.ENOSPC: DiskFault(_SPACE, "make room on the disk"),
        errno.EDQUOT: DiskFault(_SPACE, "make room, or raise the quota of the broker's user"),
        errno.EFBIG: DiskFault(_PARTITION, "let files grow larger (ulimit -f, LimitFSIZE=) or lower segment.bytes"),
        errno.EOVERFLOW: DiskFault(_PARTITION, "the file is too large for this system"),
        errno.EEXIST: DiskFault(_PARTITION, _IN_THE_WAY),
        errno.EISDIR: DiskFault(_PARTITION, _IN_THE_WAY),
        errno.ENOTDIR: DiskFault(_PARTITION, _IN_THE_WAY),
        errno.ENOTEMPTY: DiskFault(_PARTITION, _IN_THE_WAY),
        errno.ETXTBSY: DiskFault(_PARTITION, _IN_THE_WAY),
        errno.EACCES: DiskFault(_PARTITION, _PERMIT),
        errno.EPERM: DiskFault(_PARTITION, _PERMIT + " (chattr -i, when it was made immutable)"),
        errno.ENOENT: DiskFault(_PARTITION, "somebody removed it: put it back, or restart the broker to go on without"),
        errno.ENAMETOOLONG: DiskFault(_PARTITION, "the topic's name is too long for this file system"),
        errno.ELOOP: DiskFault(_PARTITION, "links lead in a circle: remove them"),
        errno.EMLINK: DiskFault(_PARTITION, "the file system takes no more directories: name another in log.dirs"),
        errno.EINVAL: DiskFault(_PARTITION, "the file system cannot do that: is it one for data?"),
        errno.EOPNOTSUPP: DiskFault(_PARTITION, "the file system cannot do that: is it one for data?"),
        errno.EBADF: DiskFault(_PARTITION, "please report this"),
        errno.EIO: DiskFault(_DIRECTORY, _LOOK_AT_DISK),
        errno.EROFS: DiskFault(_DIRECTORY, "the file system is read-only: " + _LOOK_AT_DISK),
        errno.ESTALE: DiskFault(_DIRECTORY, _MOUNT),
        errno.ENODEV: DiskFault(_DIRECTORY, _MOUNT),
        errno.ENXIO: DiskFault(_DIRECTORY, _MOUNT),
        errno.ENOTCONN: DiskFault(_DIRECTORY, _MOUNT),
        errno.ETIMEDOUT: DiskFault(_DIRECTORY, _MOUNT),
        errno.EUCLEAN: DiskFault(_DIRECTORY, "the file system is damaged: check it, then restart the broker"),
    }
)
OTHER_FAULT = DiskFault(_DIRECTORY, _LOOK_AT_DISK)

_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

Identity = tuple[int, int]
"""Device and inode of a directory: its path may come to name another."""


def disk_fault(error: OSError, log_dir: str) -> DiskFault:
    """Return what a failed system call under `log_dir` means; costs two system calls when it names one file."""
    fault = DISK_FAULTS.get(error.errno or 0, OTHER_FAULT)
    if fault.concerns is _PARTITION and directory_trouble(log_dir) is not None:
        return DiskFault(_DIRECTORY, "make the directory usable for the broker's user, then restart the broker")
    return fault


def storage_error(log_dir: str, error: OSError) -> KafkaError | LogDirFailed:
    """Return what to raise for a failed system call: KAFKA_STORAGE_ERROR, unless the whole directory is concerned."""
    fault = disk_fault(error, log_dir)
    if fault.concerns is _DIRECTORY:
        return LogDirFailed(log_dir, error)
    return KafkaError(_KAFKA_STORAGE_ERROR, told(error, fault))


def told(error: OSError, fault: DiskFault) -> str:
    """Return a failed system call and what can be done about it, for the log."""
    return f"{error} ({fault.advice})"


def passes(error: OSError) -> bool:
    """Return whether a system call that failed may well succeed in a while, with nobody's help or more space."""
    return DISK_FAULTS.get(error.errno or 0, OTHER_FAULT).concerns <= _SPACE


def is_out_of_descriptors(error: BaseException | None) -> bool:
    """Return whether a system call failed because no more files can be opened."""
    return isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS


def directory_identity(log_dir: str) -> Identity | None:
    """Return what a directory is, beyond its name; None when that cannot be told."""
    try:
        status = os.stat(log_dir)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def directory_trouble(log_dir: str, identity: Identity | None = None) -> OSError | None:
    """
    Return why a log directory cannot be used any more, None when it can.

    identity  what it was when the broker began to use it; None: whatever is there now will do

    Open files outlive their names: what is appended to them is read and acknowledged, and gone with the process.
    """
    found = directory_identity(log_dir)
    if found is None:
        return OSError(errno.ENOENT, "the directory was removed, moved away or unmounted", log_dir)
    if identity is not None and found != identity:
        return OSError(errno.ESTALE, "another directory lies in its place now", log_dir)
    if not os.access(log_dir, os.R_OK | os.W_OK | os.X_OK):
        return OSError(errno.EACCES, "the broker's user may not read and write the directory any more", log_dir)
    return None
