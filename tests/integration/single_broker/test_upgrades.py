"""A data directory of each release is opened by this one, with all that was in it; one of a later one is refused."""

from __future__ import annotations

import json
import re
import sqlite3
import tarfile
from pathlib import Path

import pytest
from data_directories import CONFIG, VECTORS, read_back

from kbroker.errors import StartupError
from kbroker.testing import Broker

STORE = "kbroker-metadata.sqlite"
CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"
RELEASES = sorted(path.stem for path in VECTORS.glob("*.json"))


def _unpacked(release: str, how: str, directory: Path) -> Path:
    data = directory / "data"
    data.mkdir()
    with tarfile.open(VECTORS / f"{release}-{how}.tar.gz") as archive:
        archive.extractall(data)
    return data


def _lines_about_the_store(broker: Broker) -> list[str]:
    return [line for line in broker.log_text().splitlines() if STORE in line]


def test_there_is_a_directory_of_each_release() -> None:
    """`tests/support/data_directories.py` makes it; see CONTRIBUTING."""
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", CHANGELOG.read_text(), re.MULTILINE)
    assert set(released) <= set(RELEASES)
    assert "0.1.0" in RELEASES
    for release in RELEASES:
        for how in ("stopped", "killed"):
            assert (VECTORS / f"{release}-{how}.tar.gz").exists()


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("release", RELEASES)
def test_everything_of_an_earlier_release_is_there(release: str, how: str, tmp_path: Path) -> None:
    expected = json.loads((VECTORS / f"{release}.json").read_text())[how]
    data = _unpacked(release, how, tmp_path)
    with Broker(CONFIG, data_dir=tmp_path) as broker:
        assert read_back(broker) == expected
        assert "Traceback" not in broker.log_text()
        said = _lines_about_the_store(broker)
        if release == "0.1.0":
            assert len(said) == 1
            assert "brought from format 1 to" in said[0]
            assert (data / f"{STORE}.format-1").stat().st_size > 0
        broker.restart()
        assert _lines_about_the_store(broker) == said, "only once"
        assert read_back(broker) == expected


def test_a_directory_of_a_later_release_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    with Broker(CONFIG, data_dir=tmp_path) as broker:
        broker.create_topic("kept")
        broker.stop()
        connection = sqlite3.connect(broker.data_dir / STORE)
        connection.execute("PRAGMA user_version = 1000")
        connection.execute("UPDATE state SET writer = '99.0.0'")
        connection.commit()
        connection.close()
        log_before = broker.log_text()
        before = _content(broker.data_dir)
        with pytest.raises(StartupError):
            broker.start()
        said = broker.log_text()[len(log_before) :].splitlines()
        assert len(said) == 1, said
        assert "written by kbroker 99.0.0 in format 1000" in said[0]
        assert "start kbroker 99.0.0 or newer" in said[0]
        assert _content(broker.data_dir) == before


def _content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
