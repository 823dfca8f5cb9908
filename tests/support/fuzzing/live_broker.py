"""
A running broker, fuzzed through its socket: valid requests of every API it serves, mutated, many to a connection.

After each round a normal request must be answered in time, the same worker processes must run, and the log must not
tell of anything that the broker did not expect. The memory of its processes must not grow with the inputs.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewTopic
from process_memory import proportional_set_size_bytes
from random_messages import random_message, versions_of
from raw_connection import RawConnection

from fuzzing.engine import Finding, Result
from fuzzing.mutations import mutate
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kbroker.protocol.messages.metadata import MetadataRequest, MetadataResponse
from kbroker.protocol.messages.registry import request_class
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.testing import Broker

ROUND_INPUTS = 5_000
CONNECTION_INPUTS = 25
ANSWER_S = 10.0
GROWTH_MIB = 64
TOPICS = ("fuzzed", "fuzzed-2")
GROUPS = ("group-1", "group-2")
_TEXTS = (*TOPICS, *GROUPS, "", "x" * 250, "größer", "__consumer_offsets", "cleanup.policy", "compact", "0", "-1")
_ERROR = re.compile(r"^.*(?:Request of .* failed|ERROR|CRITICAL).*\n(?:(?!\d{4}-).*\n)*", re.MULTILINE)
"""A log line that nobody may provoke, with the traceback behind it."""
_CONFIG = {
    "num.network.threads": "2",
    "num.io.threads": "2",
    "offsets.topic.num.partitions": "4",
    # Mutations make topics; each with few partitions, small files and room for all of them.
    "log.segment.bytes": "1048576",
    "log.retention.bytes": "4194304",
    "log.retention.check.interval.ms": "1000",
    "group.min.session.timeout.ms": "10",
}


def live_seeds(broker: Broker, chance: random.Random) -> list[bytes]:
    """Return frames of every API and version that the broker serves: about its topics and groups, and others."""
    with RawConnection(broker.bootstrap_servers) as client:
        client.send(ApiVersionsRequest(), 0)
        served = ApiVersionsResponse.decode(client.receive(), 0, 4)[0].api_keys
        client.send(MetadataRequest(topics=None), 12)
        topics = MetadataResponse.decode(client.receive(), 12, 5)[0].topics
    ids = [topic.topic_id for topic in topics]
    frames = []
    for api in served:
        cls = request_class(api.api_key)
        for version in versions_of(cls):
            if not api.min_version <= version <= api.max_version:
                continue
            for _ in range(4):
                message = random_message(cls, version, chance, tame=chance.random() < 0.7, texts=_TEXTS)
                _aim(message, api.api_key, chance, ids)
                frames.append(encode_request_header(api.api_key, version, 7, "fuzz") + message.encode(version))
    return frames


def _aim(message: object, api_key: int, chance: random.Random, ids: list[bytes]) -> None:
    """Make a random request one that gets further: real topics, whole batches, short waits."""
    for field in ("max_wait_ms", "timeout_ms", "session_timeout_ms", "rebalance_timeout_ms"):
        if hasattr(message, field):
            setattr(message, field, chance.choice((0, 1, 50)))
    if api_key == ApiKey.PRODUCE:
        for topic in message.topic_data:  # type: ignore[attr-defined]
            topic.name, topic.topic_id = chance.choice(TOPICS), chance.choice(ids)
            for partition in topic.partition_data:
                builder = BatchBuilder(compression=chance.randrange(5), producer_id=chance.choice((-1, -1, 1)),
                                       producer_epoch=0, base_sequence=0)  # fmt: skip
                builder.append(b"key", chance.randbytes(50), int(time.time() * 1000))
                partition.index, partition.records = chance.choice((0, 0, 1, 7)), builder.build()
    elif api_key == ApiKey.FETCH:
        for topic in message.topics:  # type: ignore[attr-defined]
            topic.topic, topic.topic_id = chance.choice(TOPICS), chance.choice(ids)
    elif api_key == ApiKey.CREATE_TOPICS:
        for topic in message.topics:  # type: ignore[attr-defined]
            topic.num_partitions, topic.replication_factor, topic.assignments = chance.choice((1, 2, -1)), 1, []


class _Session:
    """One run: the broker, and what is known to be right about it."""

    def __init__(self, broker: Broker, seed: int) -> None:
        self._broker = broker
        self._chance = random.Random(seed)
        self.seeds: list[bytes] = []
        self._workers = broker.worker_pids()
        self._log_position = 0
        self.sent: list[bytes] = []

    def send_round(self, inputs: int) -> None:
        """Send so many mutated requests; answers are read as they come, and not waited for."""
        chance = self._chance
        # Requests of the round before may have deleted the topics.
        broker = self._broker
        for name in TOPICS:
            with contextlib.suppress(KafkaException):
                broker.admin().create_topics([NewTopic(name, 2, 1)])[name].result(ANSWER_S)
        self.seeds = live_seeds(broker, chance)
        self.sent.clear()
        for first in range(0, inputs, CONNECTION_INPUTS):
            count = min(CONNECTION_INPUTS, inputs - first)
            frames = []
            for _ in range(count):
                seed = chance.choice(self.seeds)
                # Some valid ones in between: they get the connection into states that rubbish does not reach.
                frames.append(seed if chance.random() < 0.2 else mutate(seed, chance, self.seeds))
            self.sent += frames
            self._converse(frames)

    def _converse(self, frames: list[bytes]) -> None:
        """Send frames, a few to a connection."""
        data = [struct.pack(">i", len(frame)) + frame for frame in frames]
        while data:
            with contextlib.suppress(OSError), RawConnection(self._broker.bootstrap_servers) as client:
                # Few: what comes after a malformed one is not read.
                take = self._chance.choice((1, 1, 1, 2, 4))
                client.socket.sendall(b"".join(data[:take]))
                del data[:take]
                if self._chance.random() < 0.5:
                    client.socket.shutdown(socket.SHUT_WR)
                _drain(client.socket, self._chance.choice((0.0, 0.001, 0.01)))

    def problems(self) -> list[str]:
        """Return what is wrong with the broker now."""
        broker = self._broker
        found = []
        try:
            with RawConnection(broker.bootstrap_servers) as client:
                client.socket.settimeout(ANSWER_S)
                client.send(MetadataRequest(topics=[]), 12)
                if not client.receive():
                    found.append("closes the connection of a good client")
        except OSError as error:
            found.append(f"does not answer a good client: {error}")
        log = broker.log_text()
        fresh, self._log_position = log[self._log_position :], len(log)
        for match in re.finditer(
            r"^.*(?:Request of .* failed|ERROR|CRITICAL).*\n(?:(?!\d{4}-).*\n)*", fresh, re.MULTILINE
        ):
            found.append(match.group(0)[-1500:])
        workers = broker.worker_pids()
        for name, pid in self._workers.items():
            if workers[name] != pid:
                told = [line for line in fresh.splitlines() if " WARN [net-" not in line]
                found.append("\n".join([*told[-60:], f"worker {name} died"]))
        self._workers = workers
        # Thousands of lines about malformed requests: only the newest are of use.
        os.truncate(Path(broker.directory) / "broker.log", 0)
        self._log_position = 0
        return found


def _drain(sock: socket.socket, seconds: float) -> None:
    while select.select([sock], [], [], seconds)[0]:
        if not sock.recv(1 << 16):
            return


def fuzz_broker(
    *, inputs: int, seconds: float, seed: int, progress: Callable[[int, int], None], round_inputs: int = ROUND_INPUTS
) -> Result:
    """
    Start a broker and send it so many mutated requests; return what came of it.

    seconds       ends the run earlier; 0: no limit
    progress      told inputs done and findings, after each round
    round_inputs  inputs between two looks at the broker
    """
    result = Result("live")
    started = time.monotonic()
    early_bytes = 0
    with Broker(_CONFIG) as broker:
        session = _Session(broker, seed)
        result.corpus = len(session.seeds)
        while result.inputs < inputs and not (seconds and time.monotonic() - started > seconds):
            count = min(round_inputs, inputs - result.inputs)
            session.send_round(count)
            result.inputs += count
            kinds = {_kind(finding.what) for finding in result.findings}
            for what in session.problems():
                if _kind(what) not in kinds:
                    kinds.add(_kind(what))
                    data = b"".join(struct.pack(">i", len(frame)) + frame for frame in session.sent)
                    result.findings.append(Finding("live", what, data))
            if not early_bytes and result.inputs >= inputs // 4:
                early_bytes = proportional_set_size_bytes(broker)
            progress(result.inputs, len(result.findings))
        growth_bytes = proportional_set_size_bytes(broker) - early_bytes
        result.growth_kib = growth_bytes // 1024
        if growth_bytes > GROWTH_MIB * 1024 * 1024:
            result.findings.append(Finding("live", f"grew by {growth_bytes >> 20} MiB", b""))
    result.seconds = time.monotonic() - started
    return result


def _kind(what: str) -> str:
    """Return what findings of one cause have in common: the last line, without its numbers."""
    return re.sub(r"\d+|'[^']*'", "", what.strip().splitlines()[-1])
