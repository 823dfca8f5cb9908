"""What the cluster worker does to the disk itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kbroker.cluster.adoption import plan_adoption
from kbroker.cluster.worker import remove_partition_directory


def test_a_removal_that_is_cut_short_leaves_nothing_to_adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that tells the topic id is gone, the log is still there: it must not look like a partition any more."""
    directory = tmp_path / "deleted-0"
    directory.mkdir()
    (directory / "partition.metadata").write_text("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n")
    (directory / "00000000000000000000.log").write_bytes(b"")

    def killed(path: str) -> None:
        Path(path, "partition.metadata").unlink()
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(InterruptedError):
            remove_partition_directory(str(directory))
    assert plan_adoption([str(tmp_path)], {}, {}).topics == ()


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "deleted-3"
    directory.mkdir()
    (directory / "00000000000000000000.log").write_bytes(b"x")
    remove_partition_directory(str(directory))
    assert list(tmp_path.iterdir()) == []
