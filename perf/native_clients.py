"""The compiled clients of scripts/bench: built from perf/clients, run beside a broker whose CPU time is counted."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from raw_client import batch_of

from kbroker.protocol.headers import encode_request_header
from kbroker.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = PROJECT / "perf/clients"
BINARIES = PROJECT / "build/perf"
LIBRARIES = {"raw_sockets": (), "librdkafka_client": ("-lrdkafka", "-lpthread", "-l:libjemalloc.so.2")}
"""
jemalloc: one thread of librdkafka frees what another allocated, and where both have a processor of their own, as the
faster broker leaves them, they fight for the lock of glibc's arena. 1 MB batches: 0.8 s of the client's CPU per million
records with glibc beside kbroker, 0.55 beside Kafka, 0.5 beside either with jemalloc.
"""
PRODUCE_VERSION = 9
"""Spoken by Kafka 4.4 and by kbroker alike, with topics by name."""
TIMEOUT_S = 300


def build() -> None:
    """Compile what is not there or older than its source. Raises RuntimeError with what to install."""
    if shutil.which("gcc") is None:
        raise RuntimeError("gcc is missing: apt-get install gcc libc6-dev librdkafka-dev libjemalloc2")
    BINARIES.mkdir(parents=True, exist_ok=True)
    newest_header = max(path.stat().st_mtime for path in SOURCES.glob("*.h"))
    for name, libraries in LIBRARIES.items():
        source, binary = SOURCES / f"{name}.c", BINARIES / name
        if binary.exists() and binary.stat().st_mtime > max(source.stat().st_mtime, newest_header):
            continue
        done = subprocess.run(
            ["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", binary, source, *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{source.name} does not compile (are librdkafka-dev and libjemalloc2 installed?)\n{done.stderr}"
            )


def run(name: str, arguments: Iterable[object], cpu_seconds: Callable[[], float]) -> dict[str, float]:
    """
    Run a client to its end; return its result and, as `broker_cpu_s`, what the broker used while it measured.

    cpu_seconds  the broker's CPU time so far

    Raises RuntimeError with the client's words when it fails.
    """
    command = [str(BINARIES / name), *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() == "ready\n":
                before = cpu_seconds()
                process.stdin.write("\n")
                process.stdin.flush()
                result = process.stdout.readline()
                used = cpu_seconds() - before
                process.wait(TIMEOUT_S)
                if process.returncode == 0:
                    return {**json.loads(result), "broker_cpu_s": used}
            _, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}\n{errors[-2000:]}")


def write_produce_frames(path: Path, topic: str, partitions: Iterable[int]) -> int:
    """
    Write a file of Produce requests, acks=1, one record of 100 bytes each, one request per partition.

    Returns where the answer to each of them, counted from its size, holds the error code.
    """
    frames = bytearray()
    for partition in partitions:
        data = PartitionProduceData(index=partition, records=memoryview(batch_of(1)))
        request = ProduceRequest(
            acks=1, timeout_ms=30_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
        )
        body = encode_request_header(request.API_KEY, PRODUCE_VERSION, 7, "bench") + request.encode(PRODUCE_VERSION)
        frames += struct.pack(">i", len(body)) + body
    path.write_bytes(frames)
    # Size, correlation id, tags of the header; topics, length of the name, the name, partitions, index: then the code.
    return 4 + 4 + 1 + 1 + 1 + len(topic.encode()) + 1 + 4
