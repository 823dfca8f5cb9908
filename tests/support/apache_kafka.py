"""
Apache Kafka's own programs, started from the jars that tests/java/<version>/pom.xml names and scripts/test fetches.

The one place that knows how: the tests' tools (kafka_tools), scripts/bench and scripts/differential use it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from waiting import eventually

PROJECT: Final = Path(__file__).resolve().parents[2]

CURRENT: Final = "4.4"
"""The version that kbroker is measured against and compared with."""

TOOL_JVM_OPTIONS: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx384m")
"""A tool runs for a second or two: the full compiler and a parallel collector would only cost."""

SERVER_JVM_OPTIONS: Final = (
    "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
)  # fmt: skip
"""What Kafka's own start script gives its broker."""

TOOL_CLASSES: Final = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "org.apache.kafka.tools.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "replica-verification": "org.apache.kafka.tools.ReplicaVerificationTool",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}
"""The tools of the current version by the names of their shell scripts, without kafka- and .sh."""

# Before 4.0 some tools were part of the broker's own jar.
_CLASSES_3_9: Final = {
    "acls": "kafka.admin.AclCommand",
    "broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
    "configs": "kafka.admin.ConfigCommand",
    "console-producer": "kafka.tools.ConsoleProducer",
    "dump-log": "kafka.tools.DumpLogSegments",
}

CLUSTER_ID: Final = "QmlnIGRhdGEgZG9lcyBpdA"

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 120.0


def jars(version: str) -> Path:
    """Return the directory of a version's jars."""
    return PROJECT / ".java" / version


def full_version(version: str) -> str:
    """Return the version that the jars tell, with its third number."""
    return next(jars(version).glob("kafka-clients-*.jar")).stem.removeprefix("kafka-clients-")


def missing(version: str) -> str | None:
    """Return what a person has to do before the version's programs can run; None: nothing."""
    if (jars(version) / ".complete").exists() and shutil.which("java") is not None:
        return None
    return f"Apache Kafka {version} or Java is missing: scripts/fetch-kafka {version} and scripts/test bring them"


def java_command(
    version: str, main: str, *arguments: str, jvm_options: Sequence[str] = TOOL_JVM_OPTIONS, scratch: Path | None = None
) -> list[str]:
    """
    Return the command line that runs a class of Kafka's.

    scratch  where compression libraries unpack themselves, as a JVM that is killed does not clean up; None: a directory
             that goes with this process
    """
    logging = f"-Dlog4j.configuration=file:{PROJECT / 'tests/java/log4j.properties'}"
    directory = f"-Djava.io.tmpdir={scratch or _scratch_directory()}"
    return ["java", *jvm_options, directory, logging, "-cp", f"{jars(version)}/*", main, *arguments]


def tool_command(version: str, tool: str, *arguments: str) -> list[str]:
    """Return the command line of a tool, named as its shell script is (without kafka- and .sh)."""
    main = TOOL_CLASSES[tool]
    if version == "3.9":
        main = _CLASSES_3_9.get(tool, main)
    return java_command(version, main, *arguments)


def server_settings(port: int, controller_port: int) -> dict[str, str]:
    """Return what one node needs that is broker and controller, beyond its log.dirs."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
    }


def server_command(version: str, properties: Path, jvm_options: Sequence[str] = TOOL_JVM_OPTIONS) -> list[str]:
    """Return the command line of the broker."""
    return java_command(version, "kafka.Kafka", str(properties), jvm_options=jvm_options, scratch=properties.parent)


def format_directories(version: str, properties: Path) -> None:
    """Format the log directories that a server.properties names, as a broker's first start demands."""
    command = java_command(version, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties))
    subprocess.run(command, check=True, capture_output=True, timeout=_START_TIMEOUT_S)


def write_properties(path: Path, settings: Mapping[str, str]) -> None:
    """Write a server.properties."""
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@functools.cache
def _scratch_directory() -> str:
    directory = tempfile.mkdtemp(prefix="kbroker-java-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


class KafkaServer:
    """
    Apache Kafka itself, one node that is broker and controller.

    directory  where it keeps its data, its log and its server.properties
    settings   what its server.properties says besides what one node needs
    """

    def __init__(
        self,
        version: str,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = TOOL_JVM_OPTIONS,
    ) -> None:
        self._version = version
        self._jvm_options = jvm_options
        self.log_dir = directory / "kafka-data"
        self._properties = directory / "server.properties"
        self._log = directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        port, controller_port = free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        defaults = {
            **server_settings(port, controller_port),
            "log.dirs": str(self.log_dir),
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        write_properties(self._properties, {**defaults, **(settings or {})})
        format_directories(version, self._properties)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start Kafka and wait until it is a broker of its cluster."""
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                server_command(self._version, self._properties, self._jvm_options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C reaches the script alone, which then ends the broker.
                start_new_session=True,
            )
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 100}
        )

        def registered() -> bool:
            assert process.poll() is None, self._log.read_text()[-4000:]
            with contextlib.suppress(KafkaException):
                return bool(admin.list_topics(timeout=1).brokers)
            return False

        try:
            eventually(registered, "Kafka's start", _START_TIMEOUT_S)
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
            process.wait(_STOP_TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            self._process = None
