"""The members of a group as the test sees them: processes with an assignment and the records they were given."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from kafka_tools import KafkaTools


class GroupMember:
    """
    A consumer in a process of its own.

    assignment  partitions it has now; None until it was given any
    records     (topic, partition, offset, value) in the order they came
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.assignment: set[tuple[str, int]] | None = None
        self.records: list[tuple[str, int, int, str]] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the member lives
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def errors(self) -> str:
        """Return the end of what the process wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def leave(self) -> None:
        """Ask it to leave the group and wait for its end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: the group learns of it by silence alone."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it if need be and free what it holds."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(30)
        self._reader.join()
        self.assignment = None

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self._handle(json.loads(line))

    def _handle(self, event: dict) -> None:
        if "assignment" in event:
            self.assignment = {(topic, partition) for topic, partition in event["assignment"]}
        for topic, partition, offset, value in event.get("records", ()):
            self.records.append((topic, partition, offset, value))


class VerifiableConsumer(GroupMember):
    """Kafka's own consumer for system tests; it takes one topic."""

    def __init__(self, tools: KafkaTools, servers: str, group: str, topics: Sequence[str]) -> None:
        (topic,) = topics
        super().__init__(
            tools.command(
                "verifiable-consumer", "--bootstrap-server", servers, "--topic", topic, "--group-id", group,
                "--session-timeout", "6000", "--reset-policy", "earliest", "--verbose",
            )
        )  # fmt: skip

    def _handle(self, event: dict) -> None:
        partitions = {(part["topic"], part["partition"]) for part in event.get("partitions", ()) if "topic" in part}
        match event.get("name"):
            case "partitions_assigned":
                self.assignment = (self.assignment or set()) | partitions
            case "partitions_revoked":
                self.assignment = (self.assignment or set()) - partitions
            case "record_data":
                self.records.append((event["topic"], event["partition"], event["offset"], event["value"]))


class Kcat(GroupMember):
    """kcat's balanced consumer."""

    def __init__(self, servers: str, group: str, topics: Sequence[str]) -> None:
        # %t topic, %p partition, %o offset, %s value
        super().__init__(
            [
                "sh", "-c", 'exec kcat "$@" 2>&1', "kcat", "-b", servers, "-u", "-G", group, "-f", "%t %p %o %s\\n",
                "-X", "session.timeout.ms=4000", "-X", "heartbeat.interval.ms=500", "-X", "auto.offset.reset=earliest",
                "-X", "auto.commit.interval.ms=200", "-X", "partition.assignment.strategy=range", *topics,
            ]
        )  # fmt: skip

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("% Group") and "assigned:" in line:
                self.assignment = {
                    (topic, int(partition))
                    for topic, partition in re.findall(r"(\S+) \[(\d+)\]", line.partition("assigned:")[2])
                }
            elif line.startswith("% Group") and "revoked:" in line:
                self.assignment = set()
            elif not line.startswith("%"):
                topic, partition, offset, value = line.split()
                self.records.append((topic, int(partition), int(offset), value))


def python_member(library: str, strategy: str, servers: str, group: str, topics: Sequence[str]) -> GroupMember:
    """Start a member that uses a Python client library."""
    script = Path(__file__).with_name("group_member.py")
    return GroupMember([sys.executable, str(script), library, strategy, servers, group, *topics])
