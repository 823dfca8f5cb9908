"""Apache Kafka's own programs: console tools, DumpLogSegments and its broker, from the jars scripts/test fetches."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]

# A tool runs for a second or two: the full compiler and a parallel collector would only cost.
_JVM_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx384m")

# What Kafka's own start script gives its broker.
SERVER_JVM_OPTIONS = (
    "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
)  # fmt: skip

_CLASSES = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "configs": "kafka.admin.ConfigCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "acls": "org.apache.kafka.tools.AclCommand",
    "storage": "kafka.tools.StorageTool",
    "server-start": "kafka.Kafka",
}
# Before 4.0 some tools were part of the broker's own jar.
_CLASSES_3_9 = {
    "console-producer": "kafka.tools.ConsoleProducer",
    "dump-log": "kafka.tools.DumpLogSegments",
    "broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
}


@functools.cache
def _scratch_directory() -> str:
    """Return a directory that lives as long as this test session."""
    directory = tempfile.mkdtemp(prefix="kbroker-java-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


class KafkaTools:
    """The tools of one Kafka version, named as their shell scripts are (without kafka- and .sh)."""

    def __init__(self, version: str) -> None:
        if os.environ.get("KBROKER_TEST_SKIP_JAVA"):
            pytest.skip("KBROKER_TEST_SKIP_JAVA is set")
        self.version = version
        self._jars = PROJECT / ".java" / version
        if not (self._jars / ".complete").exists() or shutil.which("java") is None:
            pytest.fail(f"Apache Kafka {version}'s tools or Java are missing: run scripts/test, which installs them")

    def command(self, tool: str, *arguments: str, jvm_options: Sequence[str] = _JVM_OPTIONS) -> list[str]:
        """Return the command line of a tool."""
        main = _CLASSES[tool]
        if self.version == "3.9":
            main = _CLASSES_3_9.get(tool, main)
        logging = f"-Dlog4j.configuration=file:{PROJECT / 'tests/java/log4j.properties'}"
        # Where compression libraries unpack themselves; a JVM that is killed does not clean up.
        scratch = f"-Djava.io.tmpdir={_scratch_directory()}"
        return ["java", *jvm_options, scratch, logging, "-cp", f"{self._jars}/*", main, *arguments]

    def run(
        self,
        tool: str,
        *arguments: str,
        lines: Sequence[str] | None = None,
        timeout_s: float = 60.0,
        fails: bool = False,
    ) -> str:
        """
        Run a tool to its end; return what it wrote to standard output.

        lines  what it reads on standard input
        fails  the tool may end with an error; its standard error is then returned, too
        """
        done = subprocess.run(
            self.command(tool, *arguments),
            input="".join(f"{line}\n" for line in lines or ()),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if fails:
            return done.stdout + done.stderr
        assert done.returncode == 0, (
            f"{tool} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        )
        return done.stdout


class KafkaServer:
    """Apache Kafka itself, one node that is broker and controller: for directories that Kafka wrote."""

    def __init__(self, tools: KafkaTools, directory: Path, *, jvm_options: Sequence[str] = _JVM_OPTIONS) -> None:
        self._tools = tools
        self._jvm_options = jvm_options
        self._directory = directory
        self.log_dir = directory / "kafka-data"
        self._properties = directory / "server.properties"
        self._log = directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        port, controller_port = _free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        self._port = port
        self._properties.write_text(
            "process.roles=broker,controller\n"
            "node.id=1\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller_port}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n"
            "controller.listener.names=CONTROLLER\n"
            f"log.dirs={self.log_dir}\n"
            "offsets.topic.replication.factor=1\n"
            "offsets.topic.num.partitions=4\n"
            "transaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\n"
            "transaction.state.log.num.partitions=1\n"
            "group.initial.rebalance.delay.ms=0\n"
        )
        tools.run("storage", "format", "-t", "QmlnIGRhdGEgZG9lcyBpdA", "-c", str(self._properties))

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start Kafka and wait until it is a broker of its cluster."""
        with self._log.open("ab") as log:
            command = self._tools.command("server-start", str(self._properties), jvm_options=self._jvm_options)
            self._process = process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100}
        )

        def registered() -> bool:
            assert process.poll() is None, self._log.read_text()[-4000:]
            with contextlib.suppress(KafkaException):
                return bool(admin.list_topics(timeout=1).brokers)
            return False

        try:
            eventually(registered, "Kafka's start", 60)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def end(self, number: signal.Signals) -> None:
        """End Kafka with a signal and wait until it is gone."""
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            self._process = None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
