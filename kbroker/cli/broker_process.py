"""
The composition root of a broker: prepares what must exist before the fork, then hands over to the supervisor.

Everything the workers will import is imported here first, so that the forked processes share those pages; nothing with
threads is made before the fork.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import select
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import setproctitle

from kbroker import __version__
from kbroker.cli.directory_lock import DirectoryLocks
from kbroker.cli.run_file import RUN_FILE_NAME, RUN_FILE_VERSION, remove_run_files
from kbroker.clock import SystemClock
from kbroker.cluster import worker as cluster_worker
from kbroker.cluster.registration import NOT_CONFIGURED, BrokerRegistration, settle_identity
from kbroker.config.broker_config import BrokerConfig
from kbroker.config.listeners import Listener
from kbroker.config.settings import readable
from kbroker.errors import StartupError
from kbroker.io_workers import worker as io_worker
from kbroker.logging_setup import set_process_prefix, tell_left_out
from kbroker.net import worker as network_worker
from kbroker.shared.layout import SharedState
from kbroker.shared.worker_table import WorkerKind
from kbroker.storage.checkpoints import begin_run, end_run, replace_file
from kbroker.supervisor.listeners import BoundListener, bind
from kbroker.supervisor.signals import SignalPipe
from kbroker.supervisor.socket_activation import PassedSocket, match_sockets, take_sockets
from kbroker.supervisor.supervisor import Supervisor
from kbroker.supervisor.systemd import Notifier

logger = logging.getLogger(__name__)

MAX_PARTITIONS = 16_384
"""Rows of the partition table; unused ones cost no memory."""

_GROUP_READS = 0o050
_NO_OTHERS = 0o027
_NOBODY_ELSE = 0o077

LIFELINE_VARIABLE = "KBROKER_LIFELINE_FD"
EPHEMERAL_DIRECTORY_VARIABLE = "KBROKER_EPHEMERAL_DIR"


def run_broker(config: BrokerConfig, signals: SignalPipe) -> int:
    """
    Run a broker until it is stopped; return the process's exit code.

    signals  open already: what comes during the start counts

    Raises StartupError when it cannot start.
    """
    notifier = Notifier(os.environ)  # type: ignore[arg-type]
    passed = take_sockets(os.environ)
    ephemeral = os.environ.pop(EPHEMERAL_DIRECTORY_VARIABLE, "")
    number = os.environ.pop(LIFELINE_VARIABLE, "")
    lifeline = int(number) if number.isdigit() else None
    try:
        return _run(config, passed, signals, notifier, lifeline)
    finally:
        # Only for a starter that is gone: one that lives may want to start a broker on these data again.
        if ephemeral and lifeline is not None and _has_ended(lifeline):
            shutil.rmtree(ephemeral, ignore_errors=True)


def _has_ended(lifeline: int) -> bool:
    """Return whether the other end of the lifeline is gone."""
    poller = select.poll()  # select.select ends at descriptor 1,023; the starter may have had more
    poller.register(lifeline, select.POLLIN)
    return bool(poller.poll(0))


def _run(
    config: BrokerConfig,
    passed: Sequence[PassedSocket],
    signals: SignalPipe,
    notifier: Notifier,
    lifeline: int | None,
) -> int:
    started = _Moment.now()
    set_process_prefix("supervisor")
    _raise_descriptor_limit()
    _keep_files_private(config.log_dirs.directories[0])
    locks = DirectoryLocks()
    directories, failed = _usable_directories(config.log_dirs.directories, locks)
    # What a broker that was killed left there must not be taken for ours.
    remove_run_files(directories)
    broker_id = config.identity.broker_id
    try:
        registration = settle_identity(
            directories,
            NOT_CONFIGURED if broker_id is None else broker_id,
            cluster_worker.store_path(config),
            clock=SystemClock(),
        )
    except OSError as error:
        raise StartupError(
            f"{error.filename or directories[0]}: {error.strerror}; the broker's identity is kept there"
        ) from error
    wanted = config.listeners.listeners
    listeners = bind(wanted, config.sockets.socket_listen_backlog_size, match_sockets(wanted, passed))
    clean = _begin_runs(directories, failed)
    pools = config.pools
    shared = SharedState.create(
        pools.num_network_threads,
        pools.num_io_threads,
        rows=MAX_PARTITIONS,
        largest_request_bytes=config.sockets.socket_request_max_bytes,
    )
    supervisor = Supervisor(
        shared,
        _worker_mains(config, shared, registration, listeners, clean, failed),
        signals=signals,
        notifier=notifier,
        ready=_announcer(shared, registration, listeners, directories, started),
        check=locks.look_after,
        lifeline=lifeline,
    )
    setproctitle.setproctitle(readable(f"kbroker: supervisor {directories[0]}"))
    # What exists now lives as long as the broker: the collector need not look at it, and so need not copy its pages. It
    # was off while the modules were loaded (kbroker.cli.start), and a collection now would find a few hundred objects.
    gc.freeze()
    gc.enable()
    failure = supervisor.run()
    remove_run_files(locks.held())
    if failure is not None:
        logger.error("Stopped: %s", failure)
        return 1
    if not supervisor.orderly:
        # Without the marker the next start looks at what it finds.
        logger.warning("Stopped; not every log was closed in order, so the next start checks them")
        return 0
    for directory in directories:
        try:
            end_run(directory)
        except OSError as error:
            logger.error("log.dirs=%s: %s; the next start checks its logs", directory, error)
    logger.info("Stopped in order")
    return 0


def _begin_runs(directories: list[str], failed: list[str]) -> dict[str, bool]:
    """Return per log directory whether its last stop was orderly; one that fails moves to `failed`."""
    clean: dict[str, bool] = {}
    for directory in list(directories):
        try:
            clean[directory] = begin_run(directory)
        except OSError as error:
            logger.error("log.dirs=%s: %s; going on without it", directory, error)
            directories.remove(directory)
            failed.append(directory)
    if not directories:
        raise StartupError(f"log.dirs={failed[0]}: cannot be written; see the line above")
    return clean


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as the system allows: each connection needs one, each partition written up to three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_files_private(directory: str) -> None:
    """
    Have this process and its workers make files that others cannot read: records, offsets, metadata, the run file.

    directory  the first log directory; whoever lets its group read it lets the group read what is made in it, too
    """
    try:
        group_reads = os.stat(directory).st_mode & _GROUP_READS == _GROUP_READS
    except OSError:
        group_reads = False
    # Never more than the umask that we were given allows.
    os.umask(os.umask(_NOBODY_ELSE) | (_NO_OTHERS if group_reads else _NOBODY_ELSE))


def _usable_directories(directories: tuple[str, ...], locks: DirectoryLocks) -> tuple[list[str], list[str]]:
    """Lock the log directories; return those that can be used, and those that the broker starts without."""
    usable: list[str] = []
    failed: list[str] = []
    reasons: list[str] = []
    places: dict[tuple[int, int], str] = {}
    for directory in directories:
        try:
            os.makedirs(directory, exist_ok=True)
            status = os.stat(directory)
            # To open its lock a second time and close it would let go of it.
            same = places.setdefault((status.st_dev, status.st_ino), directory)
            if same != directory:
                raise StartupError(f"log.dirs={directory}: the same directory as {same}; name it once")
            locks.take(directory)
            usable.append(directory)
        except OSError as error:
            failed.append(directory)
            reasons.append(
                f"log.dirs={directory}: cannot be made or written ({error.strerror}); fix it or name another, "
                "e.g. --override log.dirs=DIRECTORY"
            )
    if not usable:
        raise StartupError(reasons[0])
    for reason in reasons:
        logger.error("%s; going on without it", reason)
    return usable, failed


def _worker_mains(
    config: BrokerConfig,
    shared: SharedState,
    registration: BrokerRegistration,
    listeners: list[BoundListener],
    clean: dict[str, bool],
    failed: list[str],
) -> dict[WorkerKind, Callable[[int], None]]:
    """Return what each kind of worker runs; called in the child, with the worker's table number."""
    table = shared.workers
    advertised = {listener.name for listener in config.listeners.advertised or ()}
    sockets = [
        (listener.name, bound.sock, bound.by_name or listener.name in advertised)
        for listener in listeners
        for bound in listener.sockets
    ]

    def begin(number: int) -> None:
        name = table.name(number)
        set_process_prefix(name)
        setproctitle.setproctitle(readable(f"kbroker: {name} {config.log_dirs.directories[0]}"))
        # Workers make few cycles and many short-lived objects: a collection per 700 allocations would only cost.
        gc.set_threshold(50_000, 20, 20)

    def cluster(number: int) -> None:
        begin(number)
        bound = [(listener.name, listener.security_protocol, listener.port) for listener in listeners]
        cluster_worker.main(
            shared,
            cluster_worker.ClusterWorkerSpec(
                config=config,
                registration=registration,
                listeners=bound,
                failed_directories=frozenset(failed),
            ),
        )

    def network(number: int) -> None:
        begin(number)
        index = number - table.network_worker(0)
        network_worker.main(
            shared,
            network_worker.NetworkWorkerSpec(
                config=config,
                broker_id=registration.broker_id,
                index=index,
                sockets=sockets,
                failed_directories=failed,
            ),
        )

    def io(number: int) -> None:
        begin(number)
        # A worker born anew finds what its predecessor was writing: its logs are recovered whatever the last stop was.
        first = table.get(number, io_worker.GENERATION) == 1
        io_worker.main(
            shared,
            io_worker.IoWorkerSpec(
                config=config,
                broker_id=registration.broker_id,
                index=number - table.io_worker(0),
                clean_directories=frozenset(d for d, was_clean in clean.items() if was_clean and first),
                failed_directories=frozenset(failed),
            ),
        )

    mains = {WorkerKind.CLUSTER: cluster, WorkerKind.NETWORK: network, WorkerKind.IO: io}
    return {kind: _telling_all(main) for kind, main in mains.items()}


def _telling_all(main: Callable[[int], None]) -> Callable[[int], None]:
    """Return `main` so that it ends with the lines that a flood has cost."""

    def run(number: int) -> None:
        try:
            main(number)
        finally:
            tell_left_out(everything=True)

    return run


@dataclass(frozen=True, slots=True)
class _Moment:
    """When something was: by the wall clock, which may be set, and in time since the machine was started."""

    wall_ms: int
    boottime_ms: int

    @classmethod
    def now(cls) -> Self:
        return cls(time.time_ns() // 1_000_000, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)


def _announcer(
    shared: SharedState,
    registration: BrokerRegistration,
    listeners: list[BoundListener],
    directories: list[str],
    started: _Moment,
) -> Callable[[dict[str, int]], None]:
    """Return what writes the run files: when the broker is ready, and whenever a worker was started anew."""
    content: dict[str, Any] = {
        "version": RUN_FILE_VERSION,
        "kbroker": __version__,
        "pid": os.getpid(),
        "started_ms": started.wall_ms,
        "started_boottime_ms": started.boottime_ms,
        "listeners": [
            {"name": listener.name, "host": listener.host or "localhost", "port": listener.port}
            for listener in listeners
        ],
        "cluster_id": registration.cluster_id,
        "broker_id": registration.broker_id,
        "log_dirs": directories,
        "shared": shared.describe(),
    }
    announced = False

    def announce(workers: dict[str, int]) -> None:
        nonlocal announced
        content["workers"] = workers
        for directory in directories:
            run_file = os.path.join(directory, RUN_FILE_NAME)
            try:
                replace_file(run_file, json.dumps(content, indent=1).encode(), durable=False)
            except OSError as error:
                # Only tools miss it: a full disk must not end a broker whose worker was just born anew.
                logger.warning("%s cannot be written: %s", run_file, error)
        if not announced:
            announced = True
            where = ", ".join(
                str(Listener(listener.name, listener.security_protocol, listener.host or "localhost", listener.port))
                for listener in listeners
            )
            logger.info(
                "Started in %.2f s: %s; cluster id %s, broker id %d, data in %s",
                (_Moment.now().boottime_ms - started.boottime_ms) / 1000,
                where,
                registration.cluster_id,
                registration.broker_id,
                ", ".join(directories),
            )

    return announce
