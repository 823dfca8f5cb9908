"""The two brokers that scripts/bench compares: started, watched and stopped in the same way, with the same settings."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

import apache_kafka
from process_usage import cpu_seconds, descendants, proportional_set_size_bytes

import kbroker
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

PROJECT = Path(__file__).resolve().parents[1]
COMMON_SETTINGS = {
    # Files of deleted topics go soon, so that their page cache serves the next row.
    "log.segment.delete.delay.ms": "500",
    "log.initial.task.delay.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
}
"""What both are told; everything else is each one's default."""

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
CREATE_TIMEOUT_S = 120.0
FRESH_CLIENT_S = 10.0
DELETE_TIMEOUT_S = 90.0
_CONNECT_INTERVAL_S = 0.002


class BrokerUnderTest(ABC):
    """
    One broker with a data directory of its own inside `directory`, which `remove` takes away.

    Stopped by `stop`; the data stay for the next `start`, on the same port.
    """

    name: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True)
        self.log_dir = directory / "data"
        self.port = apache_kafka.free_ports(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: AdminClient | None = None
        self.properties = directory / "server.properties"
        settings = {**COMMON_SETTINGS, "log.dirs": str(self.log_dir), **self._settings()}
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._prepare()

    @abstractmethod
    def _settings(self) -> dict[str, str]:
        """Return what this broker needs beyond COMMON_SETTINGS."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line that starts it in the foreground."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return its version for the report."""

    def _prepare(self) -> None:  # noqa: B027 - nothing, unless a broker needs it
        """Do what must be done once before the first start; not part of any figure."""

    def start(self) -> float:
        """Start the broker; return the seconds until it answered its first request, ApiVersions."""
        log_path = self.directory / "broker.log"
        with log_path.open("ab") as log:
            begun = time.perf_counter()
            # A session of its own: Ctrl-C reaches the script alone, which then stops the broker in order.
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=PROJECT
            )
        deadline = begun + START_TIMEOUT_S
        while not _answers(self.port):
            if self._process.poll() is not None or time.perf_counter() > deadline:
                self.stop(kill=True)
                raise RuntimeError(f"{self.name} did not start\n{log_path.read_text(errors='replace')[-3000:]}")
            time.sleep(_CONNECT_INTERVAL_S)
        return time.perf_counter() - begun

    def stop(self, *, kill: bool = False) -> None:
        """Stop the broker and wait until its processes are gone."""
        self._admin = None
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        finally:
            # What is left of its session: nothing, unless the stop failed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def remove(self) -> None:
        """Remove all its files."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pids(self) -> list[int]:
        """The broker's processes."""
        assert self._process is not None
        return descendants(self._process.pid)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return cpu_seconds(self.pids)

    def memory_mib(self) -> float:
        """Return the memory of all its processes; what they share counts once."""
        return proportional_set_size_bytes(self.pids) / 2**20

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic and wait until each of its partitions answers."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415
        from confluent_kafka.admin import OffsetSpec  # noqa: PLC0415
        from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

        admin = self._connected_admin()
        admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=60)[name].result(60)
        wanted = [TopicPartition(name, partition) for partition in range(partitions)]
        begun = time.monotonic()
        fresh_at = begun + FRESH_CLIENT_S
        while True:
            # Metadata may name a leader before that leader knows: ask the leaders.
            try:
                offsets = admin.list_offsets(dict.fromkeys(wanted, OffsetSpec.earliest()), request_timeout=30)
                for future in offsets.values():
                    future.result(30)
                return
            except KafkaException as error:
                now = time.monotonic()
                if now > begun + CREATE_TIMEOUT_S:
                    raise TimeoutError(f"{self.name}: topic {name} does not answer: {error}") from error
            if now > fresh_at:
                # What this one remembers of a topic that had the same name may be what stands in the way.
                fresh_at = now + FRESH_CLIENT_S
                self._admin = None
                admin = self._connected_admin()
            # The question has its cost, too: two thousand answers are not asked for at every turn.
            time.sleep(0.02 + partitions / 10_000)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until its files are gone, then until the disk has nothing left to write."""
        self._connected_admin().delete_topics([name], operation_timeout=60)[name].result(60)
        deadline = time.monotonic() + DELETE_TIMEOUT_S
        while any(entry.name.startswith((f"{name}-", f"{name}.")) for entry in os.scandir(self.log_dir)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: files of the deleted topic {name} are still there")
            time.sleep(0.05)
        os.sync()

    def _connected_admin(self) -> AdminClient:
        if self._admin is None:
            from confluent_kafka.admin import AdminClient  # noqa: PLC0415

            self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 2})
        return self._admin


class Kbroker(BrokerUnderTest):
    """This project's broker, its default configuration."""

    name = "kbroker"

    def _settings(self) -> dict[str, str]:
        return {"listeners": f"PLAINTEXT://127.0.0.1:{self.port}"}

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "kbroker", "start", str(self.properties)]

    @classmethod
    def version(cls) -> str:
        """Return the package's version, and whether its hot path is compiled."""
        return kbroker.__version__ + (" (compiled)" if kbroker.is_compiled() else "")


class Kafka(BrokerUnderTest):
    """Apache Kafka in KRaft mode, one node that is broker and controller, flags of its own start script."""

    name = "kafka"

    def _settings(self) -> dict[str, str]:
        return apache_kafka.server_settings(self.port, apache_kafka.free_ports(1)[0])

    def _command(self) -> list[str]:
        return apache_kafka.server_command(apache_kafka.CURRENT, self.properties, apache_kafka.SERVER_JVM_OPTIONS)

    def _prepare(self) -> None:
        apache_kafka.format_directories(apache_kafka.CURRENT, self.properties)

    @classmethod
    def missing(cls) -> str | None:
        """Return what has to be done before it can start; None: nothing."""
        return apache_kafka.missing(apache_kafka.CURRENT)

    @classmethod
    def version(cls) -> str:
        """Return the version of its jars."""
        return apache_kafka.full_version(apache_kafka.CURRENT)


def _api_versions_frame() -> bytes:
    request = ApiVersionsRequest(client_software_name="bench", client_software_version="1")
    body = encode_request_header(ApiKey.API_VERSIONS, 3, 7, "bench") + request.encode(3)
    return struct.pack(">i", len(body)) + body


_API_VERSIONS_FRAME = _api_versions_frame()


def _answers(port: int) -> bool:
    """Return whether a broker answers on the port: False at once while nothing listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT_S) as sock:
            sock.sendall(_API_VERSIONS_FRAME)
            return len(sock.recv(4)) > 0
    except OSError:
        return False
