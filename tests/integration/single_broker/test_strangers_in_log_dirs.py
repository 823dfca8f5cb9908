"""What others have put into a log directory is neither served nor touched, and stops nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clients import Confluent, Record
from confluent_kafka.admin import NewTopic
from waiting import eventually

from kbroker.storage.checkpoints import write_partition_metadata
from kbroker.testing import Broker

MARK = "0123456789abcdef0123456789abcdef"
DIRECTORIES = (
    *("lost+found", ".snapshot", "data", "t-", "t-x", "-1", "t-01", "t-99999", "ghost-0", "backup-2024", "a.b-3"),
    *("dump-20241125", "t-0.abc-delete", f"t-0.{MARK}-future", f"t-1.{MARK}-stray", "näme-0"),
)


def _scatter(log_dir: Path, elsewhere: Path) -> None:
    for name in DIRECTORIES:
        (log_dir / name).mkdir()
    (log_dir / "lost+found").chmod(0)
    (log_dir / "backup-2024/letter.txt").write_text("x")
    (log_dir / "ghost-1").mkdir()
    (log_dir / "ghost-1/00000000000000000000.log").write_text("no batch at all " * 10)
    (log_dir / "ghost-1/application-20241125.log").write_text("20 characters before the dot")
    (log_dir / ".DS_Store").write_text("x")
    (log_dir / "file-0").write_text("x")
    Path(os.fsdecode(os.fsencode(log_dir) + b"/caf\xe9-0")).mkdir()
    (log_dir / "link-0").symlink_to("/nonexistent")
    (log_dir / "etc-0").symlink_to(elsewhere)
    (log_dir / "copy-0").symlink_to(log_dir / "t-0")
    (log_dir / "other-0").mkdir()
    (log_dir / "t-0/notes.txt").write_text("x")
    (log_dir / "t-0/notes.tmp").mkdir()
    (log_dir / "t-0/00000000000000000000.log.swp").write_text("x")


def _seen(log_dir: Path) -> dict[str, object]:
    """Return all that lies in a log directory apart from the broker's own: type, mode and content."""
    seen: dict[str, object] = {}
    for directory, names, files in os.walk(os.fsencode(log_dir)):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            relative = os.fsdecode(os.path.relpath(path, os.fsencode(log_dir)))
            own = "/" not in relative and relative not in {".DS_Store", "file-0"} and name not in names
            if (
                own
                or relative.startswith("__consumer_offsets-")
                or (relative.partition("/")[0] in {"t-0", "t-1"} and "notes" not in relative)
            ):
                continue
            status = os.lstat(path)
            content = b"" if os.path.isdir(path) or os.path.islink(path) else Path(os.fsdecode(path)).read_bytes()
            seen[relative] = (status.st_mode, status.st_ino, content)
    return seen


def test_strangers_in_a_log_directory_are_left_alone_and_told_in_one_line(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Broker(data_dir=tmp_path / "broker") as broker:
        broker.create_topic("t", 2)
        client = Confluent(broker.bootstrap_servers)
        client.produce("t", [Record(number % 2, -1, None, b"%d" % number) for number in range(5)])
        broker.stop()
        _scatter(broker.data_dir, elsewhere)
        before = _seen(broker.data_dir)
        for how in (broker.stop, broker.kill, broker.stop):
            broker.start()
            client = Confluent(broker.bootstrap_servers)
            assert client.end_offsets("t", 2) == {0: 3, 1: 2}
            topics = broker.admin().list_topics(timeout=30).topics
            assert {name: len(topic.partitions) for name, topic in topics.items()} == {
                "__consumer_offsets": 50,
                "t": 2,
            }
            how()
        assert _seen(broker.data_dir) == before
        assert os.listdir(elsewhere) == []
        log = broker.log_text()
        assert "Traceback" not in log
        lines = [line for line in log.splitlines() if "not the broker's" in line]
        assert len(lines) == 3  # one for each start
        for name in ("lost+found", "ghost-0", "ghost-1", "backup-2024", "a.b-3", "dump-20241125", "etc-0", "copy-0"):
            assert f"/{name} (" in lines[-1], name

        # A topic whose directory is taken waits until somebody moves the thing away; nobody else notices.
        (broker.data_dir / "other-0/in-the-way").touch()
        broker.start()
        made = broker.admin().create_topics([NewTopic("other", 1, 1)])
        made["other"].result(30)
        client = Confluent(broker.bootstrap_servers)
        assert client.produce("t", [Record(0, -1, None, b"x")]) == [3]
        eventually(lambda: "is in the way of a new partition" in broker.log_text())
        (broker.data_dir / "other-0").rename(tmp_path / "away")
        eventually(lambda: "other-0: open now" in broker.log_text())
        assert client.produce("other", [Record(0, -1, None, b"x")]) == [0]
        assert os.listdir(tmp_path / "away") == ["in-the-way"]


@pytest.mark.parametrize("has_another", [True, False])
def test_a_directory_with_another_topics_id_is_not_the_partitions_log(tmp_path: Path, has_another: bool) -> None:
    """Its content stays; the partition goes on in another log directory, or beside it."""
    paths = [tmp_path / "one", tmp_path / "two"][: 1 + has_another]
    with Broker({"log.dirs": ",".join(map(str, paths))}, data_dir=tmp_path / "broker") as broker:
        broker.create_topic("t", 1)
        client = Confluent(broker.bootstrap_servers)
        client.produce("t", [Record(0, -1, None, b"x" * 100)])
        broker.stop()
        (place,) = [path for path in paths if (path / "t-0").exists()]
        write_partition_metadata(str(place / "t-0"), b"another topic id"[:16])
        content = (place / "t-0/00000000000000000000.log").read_bytes()
        broker.start()
        client = Confluent(broker.bootstrap_servers)
        assert client.produce("t", [Record(0, -1, None, b"new")]) == [0]
        assert "Traceback" not in broker.log_text()
        (kept,) = [path for path in place.glob("t-0*") if (path / "00000000000000000000.log").read_bytes() == content]
        assert kept.name == "t-0" if has_another else kept.name.endswith("-stray")


def test_a_partition_with_two_logs_is_not_served_and_everything_else_is(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    with Broker({"log.dirs": ",".join(map(str, paths))}, data_dir=tmp_path / "broker") as broker:
        broker.create_topic("t", 2)
        client = Confluent(broker.bootstrap_servers)
        client.produce("t", [Record(number, -1, None, b"x") for number in (0, 1)])
        broker.stop()
        place = next(number for number, path in enumerate(paths) if (path / "t-0").exists())
        copy = paths[1 - place] / "t-0"
        (paths[place] / "t-0").rename(tmp_path / "t-0")
        for target in (paths[place] / "t-0", copy):
            target.mkdir()
            for file in (tmp_path / "t-0").iterdir():
                (target / file.name).write_bytes(file.read_bytes())
        broker.start()
        client = Confluent(broker.bootstrap_servers)
        assert client.produce("t", [Record(1, -1, None, b"x")]) == [1]
        assert "both hold its log; move the one away that is out of date" in broker.log_text()
        copy.rename(tmp_path / "copy")
        eventually(lambda: "t-0: open now" in broker.log_text())
        assert client.produce("t", [Record(0, -1, None, b"x")]) == [1]
