"""
A broker for tests: the real processes, on a free port, in a temporary directory.

    with Broker() as broker:  # or: async with Broker() as broker
        broker.create_topic("orders", partitions=3)
        broker.produce("orders", "first", "second", key="customer 7")
        assert [record.text for record in broker.consume("orders", 2)] == ["first", "second"]
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})  # any client does

Nothing is left behind, even by a test session that is killed with -9: the broker holds one end of a pipe (its lifeline)
and stops when the other end, which is ours, is gone; its temporary directory it then removes itself. Readiness is not
polled for: the broker tells it to a socket of ours, as it would tell systemd.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

from kbroker.cli.directory_lock import workers_are_left
from kbroker.errors import StartupError
from kbroker.supervisor.listeners import ipv6_works
from kbroker.testing.ports import hold_free_port, release
from kbroker.testing.processes import children, hold_child, readable, wait_ended
from kbroker.testing.records import Data, Headers, Record, consume_records, new_producer, produce_records, read_records

if TYPE_CHECKING:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient

ConfigValue: TypeAlias = str | int | float | bool | None
"""What a key of server.properties may be given as; None: not set, also where DEFAULTS would set it."""

RUN_FILE_NAME = "kbroker-run.json"
"""In the first log directory of a running broker: its pid, its listeners with their real ports, its workers."""

DEFAULTS: Mapping[str, str] = {
    "listeners": "PLAINTEXT://127.0.0.1:0",
    # A group's first member need not wait for others to come: tests have their reasons to be quick.
    "group.initial.rebalance.delay.ms": "0",
}
"""What a test broker is told unless the test says otherwise."""

_POLL_INTERVAL_S = 0.005
_KEPT_LOG_BYTES = 1 << 20

_started: Final[weakref.WeakSet[Broker]] = weakref.WeakSet()
"""Every broker that was started and is still held: a failing test's report shows their logs."""


def started_brokers() -> list[Broker]:
    """Return the brokers that this process started, ended ones too, as long as somebody holds them."""
    return list(_started)


class BrokerFactory(Protocol):
    """The fixture `kbroker_factory`: makes a running broker that ends with the test; arguments are those of Broker."""

    def __call__(
        self,
        config: Mapping[str, ConfigValue] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 30.0,
        log_level: str | None = None,
    ) -> Broker:
        """Return a broker that runs."""


class Broker:
    """
    A broker that runs while the context is open; see the module for an example.

    config           keys of server.properties; they win over DEFAULTS. Ports of `listeners` may be 0: any free one
    data_dir         where its log directory lies; kept when the broker ends. None: a temporary one, removed at the end
    start_timeout_s  how long a start may take
    stop_timeout_s   how long an orderly stop may take before the broker is killed
    log_level        what the broker logs: DEBUG, INFO, WARN or ERROR. None: KBROKER_LOG_LEVEL, else INFO

    Without a context: `start()`, and `close()` at the end. Usable from one thread at a time. `async with` starts and
    stops it in a thread of asyncio's, so that the event loop goes on; the methods themselves block.
    """

    def __init__(
        self,
        config: Mapping[str, ConfigValue] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 30.0,
        log_level: str | None = None,
    ) -> None:
        wanted: Mapping[str, ConfigValue] = {**DEFAULTS, **(config or {})}
        self._config = {name: str(value) for name, value in wanted.items() if value is not None}
        self._log_level = log_level
        self._given_data_dir = None if data_dir is None else Path(data_dir)
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._admin: AdminClient | None = None
        self._producer: Producer | None = None
        self._log_begin = 0
        self._kept_log: tuple[int, bytes] | None = None
        self._listeners: list[dict[str, Any]] = []
        self._held_ports: list[socket.socket] = []
        self._forgotten: weakref.finalize[[Path, int], Broker] | None = None

    def __enter__(self) -> Self:
        """Start the broker; return it once it answers requests."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the broker and remove its temporary directory."""
        self.close()

    async def __aenter__(self) -> Self:
        """Start the broker while the event loop goes on; return it once it answers requests."""
        import asyncio  # noqa: PLC0415 - the plugin is loaded in sessions that know no asyncio

        starting = asyncio.create_task(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be called back: what it starts must not stay behind.
            with contextlib.suppress(Exception):
                await starting
            await asyncio.to_thread(self.close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the broker and remove its temporary directory while the event loop goes on."""
        import asyncio  # noqa: PLC0415 - as above

        await asyncio.shield(asyncio.create_task(asyncio.to_thread(self.close)))

    # What tests ask

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the first listener, as clients want it."""
        return next(iter(self.listeners.values()))

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return int(self._listeners[0]["port"])

    @property
    def listeners(self) -> dict[str, str]:
        """`host:port` of each listener by its name; addresses that mean "every interface" become the loopback one."""
        if not self._listeners:
            raise RuntimeError("the broker was not started")
        return {
            str(listener["name"]): _dialled(str(listener["host"]), listener["port"]) for listener in self._listeners
        }

    @property
    def directory(self) -> Path:
        """The directory of what belongs to this broker: its log file and, unless configured, its log directory."""
        if self._directory is None:
            raise RuntimeError("the broker was not started")
        return self._directory

    @property
    def log_dirs(self) -> list[Path]:
        """The directories that hold the partitions, in the order of `log.dirs`."""
        configured = self._config.get("log.dirs") or self._config.get("log.dir")
        if configured:
            return [Path(part.strip()) for part in configured.split(",")]
        return [self.directory / "data"]

    @property
    def data_dir(self) -> Path:
        """The first of `log_dirs`."""
        return self.log_dirs[0]

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the broker was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> dict[str, int]:
        """Return the process id of each worker by its name: net-0, io-0, cluster."""
        self._running()
        return {str(name): int(pid) for name, pid in self._read_run_file()["workers"].items()}

    def log_text(self) -> str:
        """Return what the broker wrote to its log since the first start; after `close`, the last MiB of that."""
        return self.log_bytes().decode(errors="replace")

    def log_bytes(self, position: int = 0) -> bytes:
        """Return the log from a position on, counted in bytes from the first start; see `log_text`."""
        if self._kept_log is not None:
            begin, kept = self._kept_log
            return kept[max(0, position - begin) :]
        with contextlib.suppress(FileNotFoundError), self._log_path.open("rb") as file:
            file.seek(self._log_begin + position)
            return file.read()
        return b""

    def log_size(self) -> int:
        """Return how many bytes the log has, for `log_bytes`."""
        if self._kept_log is not None:
            return sum((self._kept_log[0], len(self._kept_log[1])))
        with contextlib.suppress(FileNotFoundError):
            return self._log_path.stat().st_size - self._log_begin
        return 0

    # Life and death

    def start(self) -> None:
        """
        Start the broker; return once it answers requests. A broker started before keeps its ports and its data.

        Raises StartupError with the broker's own words when it does not come up, and for a key that no broker has.
        """
        if self._process is not None:
            raise RuntimeError("the broker is running already")
        from kbroker.cli.start import require_linux  # noqa: PLC0415 - the plugin is loaded in sessions that need no broker

        require_linux()
        self._refuse_unknown_keys()
        _started.add(self)
        self._kept_log = None
        if self._directory is None:
            if self._given_data_dir is None:
                self._directory = Path(tempfile.mkdtemp(prefix="kbroker-test-"))
                # For the one who forgets close(), and for a session that ends while the broker is stopped.
                self._forgotten = weakref.finalize(self, _remove_forgotten, self._directory, os.getpid())
            else:
                self._directory = self._given_data_dir
                self._directory.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    self._log_begin = self._log_path.stat().st_size
        try:
            self._start_process()
        except BaseException:
            self.kill()
            self._remove_directory()
            raise

    def stop(self) -> int:
        """
        Stop the broker as SIGTERM does; its data stay for the next start. Return its exit code.

        Raises TimeoutError when it did not stop in time; it is killed then.
        """
        self._forget_clients()
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"the broker did not stop in {self._stop_timeout_s} s\n{self._log_tail()}") from None
        self._forget_process()
        return code

    def kill(self) -> None:
        """Kill every process of the broker with SIGKILL, as a power cut would; its data stay as they are."""
        self._forget_clients()
        process = self._process
        if process is None:
            return
        # Its children as the system shows them, not as a file does: that may be of another life, or another broker.
        # Nor those of a number that is not ours any more.
        seen = children(process.pid) if process.poll() is None else []
        workers = [fd for child in seen if (fd := hold_child(process.pid, child)) is not None]
        try:
            # The supervisor first: it would start the workers again.
            process.kill()
            process.wait()
            for fd in workers:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            deadline = time.monotonic() + self._stop_timeout_s
            wait_ended(workers, deadline)
            # Those of a supervisor that ended by itself were killed by the system.
            while any(map(workers_are_left, map(str, self.log_dirs))):
                if time.monotonic() > deadline:
                    raise TimeoutError("workers do not end though they were killed")
                time.sleep(_POLL_INTERVAL_S)
        finally:
            for fd in workers:
                os.close(fd)
        self._forget_process()

    def restart(self, *, clean: bool = True) -> None:
        """Stop the broker (clean) or kill it (not clean), and start it again on the same ports with the same data."""
        if clean:
            self.stop()
        else:
            self.kill()
        self.start()

    def close(self) -> None:
        """Stop the broker if it runs, and remove its temporary directory."""
        try:
            if self._process is not None:
                if self._process.poll() is None:
                    self.stop()
                else:
                    self.kill()
        finally:
            self._remove_directory()

    def kill_worker(self, name: str) -> int:
        """Kill a worker, such as io-0, with SIGKILL; return the process id it had. See `wait_worker_back`."""
        pid = self.worker_pids()[name]
        fd = hold_child(self.pid, pid)
        if fd is None:
            raise ProcessLookupError(f"worker {name} has ended; the broker is about to start it again")
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        return pid

    def wait_worker_back(self, name: str, killed_pid: int, timeout_s: float = 20.0) -> int:
        """
        Wait until the worker runs again under another process id than `killed_pid`; return that.

        Raises TimeoutError when it does not come back, StartupError when the whole broker has ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError):
                pid = self.worker_pids()[name]
                if pid not in {0, killed_pid}:
                    return pid
            if self._running().poll() is not None:
                raise StartupError(f"the broker has ended\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"worker {name} did not come back in {timeout_s} s\n{self._log_tail()}")
            time.sleep(_POLL_INTERVAL_S)

    # Topics

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, timeout_s: float = 20.0
    ) -> str:
        """
        Create a topic and wait until clients can see it; return its name.

        config  topic configuration, such as {"segment.bytes": "1048576"}

        Raises confluent_kafka.KafkaException as the broker refused it, TimeoutError when it is not seen in time.
        """
        from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415 - the plugin is loaded in sessions that need no broker

        admin = self.admin()
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([topic], request_timeout=timeout_s)[name].result(timeout_s)
        deadline = time.monotonic() + timeout_s
        while True:
            seen = admin.list_topics(timeout=timeout_s).topics.get(name)
            if (
                seen
                and len(seen.partitions) == partitions
                and all(part.leader >= 0 for part in seen.partitions.values())
            ):
                return name
            if time.monotonic() > deadline:
                raise TimeoutError(f"topic {name} was created but is not seen after {timeout_s} s")
            time.sleep(_POLL_INTERVAL_S)

    def delete_topic(self, name: str, timeout_s: float = 20.0) -> None:
        """Delete a topic; raises confluent_kafka.KafkaException as the broker refused it."""
        self.admin().delete_topics([name], request_timeout=timeout_s)[name].result(timeout_s)

    def admin(self) -> AdminClient:
        """Return a client for administration, connected to this broker; the same one until the broker stops."""
        self._answering()
        if self._admin is None:
            from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as in create_topic

            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})
        return self._admin

    # Records

    def produce(
        self,
        topic: str,
        *values: Data,
        key: Data = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
        timeout_s: float = 20.0,
    ) -> list[Record]:
        """
        Write one record per value to a topic and wait until the broker has them; return them with their offsets.

        values        text, bytes, or None for a record without a value (a tombstone)
        key           of all these records; equal keys go to the same partition, as with Kafka's own clients
        headers       of all these records: a mapping, or pairs of name and value
        partition     where to write; None: as the key says, else any
        timestamp_ms  milliseconds since 1970; None: now

        A topic that does not exist is created unless the broker's `auto.create.topics.enable` is false.
        Raises KafkaException as the broker refused a record, TimeoutError when it does not answer in time.
        """
        self._answering()
        if self._producer is None:
            self._producer = new_producer(self.bootstrap_servers)
        return produce_records(
            self._producer,
            topic,
            values,
            key=key,
            headers=headers,
            partition=partition,
            timestamp_ms=timestamp_ms,
            timeout_s=timeout_s,
        )

    def consume(
        self, topic: str, count: int = 1, *, group_id: str | None = None, timeout_s: float = 20.0
    ) -> list[Record]:
        """
        Wait until a topic has given `count` records, and return them.

        group_id  None: from the beginning of every partition, as often as you like. A name: as that consumer group,
                  from where it left off (at first the beginning); what is returned is committed for it

        Within a partition records come in order. The topic may be one that is only about to be created.
        Raises TimeoutError when fewer come in time; the message tells how many did.
        """
        self._answering()
        return consume_records(self.bootstrap_servers, topic, count, group_id=group_id, timeout_s=timeout_s)

    def records(self, topic: str, *, timeout_s: float = 20.0) -> list[Record]:
        """
        Return every record that a topic holds now, by partition and offset; it waits for no others.

        Raises LookupError when there is no such topic, TimeoutError when it cannot be read to its end in time.
        """
        self._answering()
        return read_records(self.bootstrap_servers, topic, timeout_s=timeout_s)

    # Inside

    @property
    def _log_path(self) -> Path:
        return self.directory / "broker.log"

    def _answering(self) -> None:
        """Fail at once when nobody would answer: a client would only try again and again."""
        code = self._running().poll()
        if code is not None:
            raise StartupError(f"the broker has ended with code {code}\n{self._log_tail()}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process

    def _read_run_file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data_dir / RUN_FILE_NAME).read_bytes())
        return content

    def _overrides(self) -> Iterator[str]:
        """Yield `key=value` of the whole configuration, with the ports of the start before."""
        config = dict(self._config)
        config["log.dirs"] = ",".join(map(str, self.log_dirs))
        config.pop("log.dir", None)
        if "listeners" in config:
            entries = [entry.strip() for entry in config["listeners"].split(",")]
            config["listeners"] = ",".join(map(self._with_port_kept, entries))
        return (f"{key}={value}" for key, value in config.items())

    def _with_port_kept(self, entry: str) -> str:
        """Return an entry of `listeners` with the port of the start before, or one that stays ours where it says 0."""
        before, _, port = entry.rpartition(":")
        name, _, host = before.partition("://")
        for listener in self._listeners:
            if listener["name"] == name.upper():
                return f"{before}:{listener['port']}"
        if port != "0":
            return entry
        number, held = hold_free_port(host.strip("[]"))
        self._held_ports += held
        return f"{before}:{number}"

    def _start_process(self) -> None:
        command = [sys.executable, "-m", "kbroker", "start"]
        if self._log_level is not None:
            command += ["--log-level", self._log_level]
        for override in self._overrides():
            command += ["--override", override]
        # An abstract address: no file that could stay behind.
        address = f"kbroker-testing-{os.getpid()}-{secrets.token_hex(8)}"
        environment = dict(os.environ)
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"):
            environment.pop(name, None)
        environment["NOTIFY_SOCKET"] = "@" + address
        if self._given_data_dir is None:
            environment["KBROKER_EPHEMERAL_DIR"] = str(self.directory)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifications:
            notifications.bind("\0" + address)
            broker_end, self._lifeline = os.pipe()
            environment["KBROKER_LIFELINE_FD"] = str(broker_end)
            try:
                with self._log_path.open("ab") as log:
                    # A session of its own: a Ctrl-C for the tests must not stop the broker under them.
                    self._process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=environment,
                        pass_fds=(broker_end,),
                        start_new_session=True,
                    )
            finally:
                os.close(broker_end)
            self._wait_ready(notifications)
        self._listeners = self._read_run_file()["listeners"]

    def _wait_ready(self, notifications: socket.socket) -> None:
        process = self._running()
        deadline = time.monotonic() + self._start_timeout_s
        ended = os.pidfd_open(process.pid)
        try:
            while True:
                ready = readable([notifications.fileno(), ended], deadline - time.monotonic())
                if notifications.fileno() in ready:
                    if b"READY=1" in notifications.recv(65536).split(b"\n"):
                        return
                elif ended in ready:
                    code = process.wait()
                    raise StartupError(f"the broker ended with code {code}\n{self._log_tail()}")
                else:
                    raise StartupError(f"the broker was not ready in {self._start_timeout_s} s\n{self._log_tail()}")
        finally:
            os.close(ended)

    def _log_tail(self) -> str:
        return self.log_text()[-4000:]

    def _refuse_unknown_keys(self) -> None:
        """Fail for keys that a broker would only warn of: in a test nobody reads the warning."""
        from kbroker.config.keys import BROKER_KEYS  # noqa: PLC0415 - the plugin is loaded in sessions that need no broker
        from kbroker.config.settings import unknown_key  # noqa: PLC0415 - as above

        problems = [unknown_key(name) for name in self._config if name not in BROKER_KEYS]
        if problems:
            raise StartupError("; ".join(problems))

    def _forget_clients(self) -> None:
        self._admin = None
        self._producer = None

    def _forget_process(self) -> None:
        self._process = None
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _remove_directory(self) -> None:
        release(self._held_ports)
        self._held_ports.clear()
        if self._directory is not None and self._kept_log is None:
            begin = max(0, self.log_size() - _KEPT_LOG_BYTES)
            self._kept_log = (begin, self.log_bytes(begin))
        if self._directory is not None and self._given_data_dir is None:
            shutil.rmtree(self._directory, ignore_errors=True)
            if self._forgotten is not None:
                self._forgotten.detach()
            self._directory = None
            self._listeners = []


def _remove_forgotten(directory: Path, owner: int) -> None:
    """Remove the directory of a broker that was not closed, but not from a process forked by its owner."""
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def _dialled(host: str, port: int) -> str:
    """Return host:port to dial for a listener bound to `host`."""
    if host in {"", "0.0.0.0"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    elif host == "::":
        host = "::1" if ipv6_works() else "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
