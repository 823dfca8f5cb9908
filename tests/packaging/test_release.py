"""`scripts/release` works with each Python that kbroker takes."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def test_a_distribution_is_unpacked_by_a_python_whose_tarfile_knows_no_filters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian 12 has Python 3.11.2; filters came with 3.11.4."""
    spec = importlib.util.spec_from_file_location("release", PROJECT / "packaging/release.py")
    assert spec is not None
    assert spec.loader is not None
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    with tarfile.open(tmp_path / "kbroker.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("kbroker-1/README.md")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"Hello"))
    of_today = tarfile.TarFile.extractall

    def without_filters(archive: tarfile.TarFile, path: Path) -> None:
        of_today(archive, path)

    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", without_filters)
    source = release._unpacked(tmp_path / "kbroker.tar.gz", tmp_path, "unpacked")
    assert (source / "README.md").read_bytes() == b"Hello"
