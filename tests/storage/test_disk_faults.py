"""One table says whom a failed system call concerns; what concerns one partition must not take a directory down."""

from __future__ import annotations

import errno
import os

import pytest

from kbroker.errors import KafkaError, LogDirFailed
from kbroker.storage.disk_faults import (
    DISK_FAULTS,
    Concerns,
    directory_identity,
    directory_trouble,
    disk_fault,
    passes,
    storage_error,
)


@pytest.mark.parametrize(
    ("number", "concerns"),
    [
        (errno.EMFILE, Concerns.MOMENT),
        (errno.ENFILE, Concerns.MOMENT),
        (errno.ENOMEM, Concerns.MOMENT),
        (errno.EINTR, Concerns.MOMENT),
        (errno.EAGAIN, Concerns.MOMENT),
        (errno.ENOSPC, Concerns.SPACE),
        (errno.EDQUOT, Concerns.SPACE),
        (errno.EFBIG, Concerns.PARTITION),
        (errno.EEXIST, Concerns.PARTITION),
        (errno.EACCES, Concerns.PARTITION),
        (errno.ENAMETOOLONG, Concerns.PARTITION),
        (errno.ELOOP, Concerns.PARTITION),
        (errno.EIO, Concerns.DIRECTORY),
        (errno.EROFS, Concerns.DIRECTORY),
        (errno.ESTALE, Concerns.DIRECTORY),
        (errno.ENODEV, Concerns.DIRECTORY),
        (errno.EPROTO, Concerns.DIRECTORY),
    ],
)
def test_whom_an_error_concerns(tmp_path, number, concerns):
    error = OSError(number, os.strerror(number), str(tmp_path / "t-0"))
    assert disk_fault(error, str(tmp_path)).concerns is concerns
    assert passes(error) is (concerns <= Concerns.SPACE)
    raised = storage_error(str(tmp_path), error)
    if concerns is Concerns.DIRECTORY:
        assert isinstance(raised, LogDirFailed)
    else:
        assert isinstance(raised, KafkaError)
        assert raised.code == 56
        assert DISK_FAULTS[number].advice in str(raised)


def test_an_error_of_one_file_is_the_directorys_when_the_directory_is_gone(tmp_path):
    error = OSError(errno.ENOENT, "No such file or directory", str(tmp_path / "gone/t-0"))
    assert disk_fault(error, str(tmp_path)).concerns is Concerns.PARTITION
    assert disk_fault(error, str(tmp_path / "gone")).concerns is Concerns.DIRECTORY


def test_a_directory_in_the_place_of_another_is_trouble(tmp_path):
    log_dir = tmp_path / "logs"
    log_dir.mkdir()
    identity = directory_identity(str(log_dir))
    assert directory_trouble(str(log_dir), identity) is None
    log_dir.rename(tmp_path / "away")
    assert directory_trouble(str(log_dir), identity).errno == errno.ENOENT
    log_dir.mkdir()
    assert directory_trouble(str(log_dir)) is None
    assert directory_trouble(str(log_dir), identity).errno == errno.ESTALE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_directory_without_permissions_is_trouble(tmp_path):
    tmp_path.chmod(0)
    try:
        assert directory_trouble(str(tmp_path)).errno == errno.EACCES
    finally:
        tmp_path.chmod(0o700)
