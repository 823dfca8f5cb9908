"""
Runs one target, many inputs, in a process of its own that may die or hang.

With atheris the inputs are guided by coverage of the readers and of the decoders generated from the message tables;
without it they are mutations of valid ones. The process writes each input into shared memory before it runs it, so
that whoever watches knows the progress, sees a hang, and has the input that killed it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import mmap
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from fuzzing.mutations import mutate
from fuzzing.targets import EXPECTED, TARGETS, Target

MAX_INPUT_BYTES = 4096
SLOW_S = 0.5
"""CPU seconds for one input that count as a hang."""
HUNG_S = 20.0
"""Seconds without progress after which the process is killed."""
GROWTH_KIB = 64 * 1024
"""What one input may add to the peak of the process's memory."""
MAX_DEATHS = 5
_HEAD = Struct("<qi")


@dataclass(slots=True)
class Finding:
    """Something no input may do; `data` does it."""

    target: str
    what: str
    data: bytes

    @property
    def file_name(self) -> str:
        """Return a name that the same finding gets again."""
        return f"{self.target}-{hashlib.sha256(self.what.encode()).hexdigest()[:12]}"


@dataclass(slots=True)
class Result:
    """What came of a target's run."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    corpus: int = 0
    growth_kib: int = 0


class _Monitor:
    """Inputs done and the input under way, in memory that the parent sees."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + (1 << 20))

    def begin(self, number: int, data: bytes) -> None:
        size = min(len(data), 1 << 20)
        _HEAD.pack_into(self._memory, 0, number, size)
        self._memory[_HEAD.size : _HEAD.size + size] = data[:size]

    @property
    def inputs(self) -> int:
        return int(_HEAD.unpack_from(self._memory)[0])

    @property
    def data(self) -> bytes:
        size = _HEAD.unpack_from(self._memory)[1]
        return self._memory[_HEAD.size : _HEAD.size + size]


class Checker:
    """Runs inputs through a target and keeps what is not expected: one input per kind of finding."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.findings: dict[str, Finding] = {}
        self._run = target.run
        self._peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def check(self, data: bytes) -> None:
        """Run one input."""
        started = time.thread_time()
        try:
            self._run(data)
        except EXPECTED:
            pass
        except BaseException as error:
            # Also BaseException: a panic of a native library is one.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name if '/' in place.filename else place.filename.split(' at ')[0]}"
            self._found(
                f"{type(error).__name__} in {where}, {place.name}: {str(error)[:200]}", data, where + place.name
            )
        if time.thread_time() - started > SLOW_S:
            self._found(f"took {time.thread_time() - started:.2f} s of CPU", data, "slow")
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if peak_kib > self._peak_kib + GROWTH_KIB:
            self._found(f"took {(peak_kib - self._peak_kib) // 1024} MiB of memory", data, "memory")
        self._peak_kib = max(peak_kib, self._peak_kib)

    def _found(self, what: str, data: bytes, kind: str) -> None:
        known = self.findings.get(kind)
        if known is None or len(data) < len(known.data):
            self.findings[kind] = Finding(self.target.name, what, data)


def run_mutations(target: Target, inputs: int, seed: int, check: Callable[[bytes], None]) -> None:
    """Run so many mutations of the target's seeds, the seeds themselves first."""
    chance = random.Random(seed)
    pool = target.seeds()
    for data in pool[:inputs]:
        check(data)
    for _ in range(inputs - len(pool)):
        check(mutate(pool[int(chance.random() * len(pool))], chance, pool, MAX_INPUT_BYTES))


def run_target(
    name: str,
    *,
    inputs: int,
    seconds: float,
    seed: int,
    engine: str,
    directory: Path,
    progress: Callable[[int, int], None],
) -> Result:
    """
    Run a target in processes of its own; return what came of it.

    seconds    ends the run earlier; 0: no limit
    engine     "atheris" or "mutations"
    directory  where the corpus is kept from run to run, and findings are written
    progress   told inputs done and findings, about twice a second
    """
    result = Result(name)
    started = time.monotonic()
    deadline = started + seconds if seconds else float("inf")
    report = directory / f"{name}.json"
    for attempt in range(MAX_DEATHS + 1):
        monitor = _Monitor()
        report.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            left_s = max(0.1, deadline - time.monotonic())
            _child(TARGETS[name], inputs - result.inputs, left_s, seed + attempt, engine, directory, monitor)
        death = _watch(pid, monitor, lambda done: progress(result.inputs + done, len(result.findings)))
        result.inputs += monitor.inputs
        if report.exists():
            content = json.loads(report.read_text())
            result.findings += [Finding(name, what, bytes.fromhex(data)) for what, data in content["findings"]]
            result.growth_kib = max(result.growth_kib, content["growth_kib"])
        if death is None:
            break
        result.findings.append(Finding(name, death, monitor.data))
        if result.inputs >= inputs or time.monotonic() >= deadline:
            break
    report.unlink(missing_ok=True)
    result.seconds = time.monotonic() - started
    corpus = directory / "corpus" / name
    result.corpus = len(list(corpus.iterdir())) if corpus.is_dir() else 0
    return result


def _watch(pid: int, monitor: _Monitor, progress: Callable[[int], None]) -> str | None:
    """Wait for the process; return what ended it when it was not itself."""
    seen, since = -1, time.monotonic()
    hung = False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if monitor.inputs != seen:
            seen, since = monitor.inputs, time.monotonic()
        elif seen > 0 and time.monotonic() - since > HUNG_S:
            hung = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        progress(seen)
        time.sleep(0.5)
    progress(monitor.inputs)
    if hung:
        return f"hung for {HUNG_S:.0f} s"
    if os.WIFSIGNALED(status):
        return f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with code {os.WEXITSTATUS(status)}" if os.WEXITSTATUS(status) else None


def _child(
    target: Target, inputs: int, seconds: float, seed: int, engine: str, directory: Path, monitor: _Monitor
) -> None:
    logging.disable(logging.CRITICAL)
    checker = Checker(target)
    deadline = time.monotonic() + seconds
    done = 0
    early_kib = 0

    def check(data: bytes) -> None:
        nonlocal done, early_kib
        done += 1
        monitor.begin(done, data)
        checker.check(data)
        if done == inputs // 5:
            early_kib = _resident_kib()
        if done >= inputs or (not done & 1023 and time.monotonic() > deadline):
            growth_kib = _resident_kib() - early_kib if early_kib else 0
            content = {
                "findings": [(found.what, found.data.hex()) for found in checker.findings.values()],
                "growth_kib": growth_kib,
            }
            (directory / f"{target.name}.json").write_text(json.dumps(content))
            os._exit(0)

    try:
        if engine == "atheris":
            _run_atheris(target, seed, directory, check)
        else:
            run_mutations(target, inputs, seed, check)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(2)


def _run_atheris(target: Target, seed: int, directory: Path, check: Callable[[bytes], None]) -> None:
    import atheris

    corpus = directory / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        if len(data) <= MAX_INPUT_BYTES:
            (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    # libFuzzer talks a lot; what matters is in our report.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.dup2(silence, 1)
    options = [f"-seed={seed & 0x7FFFFFFF or 1}", f"-max_len={MAX_INPUT_BYTES}", "-rss_limit_mb=3000", "-timeout=120"]
    atheris.Setup([sys.argv[0], str(corpus), *options, f"-artifact_prefix={directory}/"], check)
    atheris.Fuzz()


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * (resource.getpagesize() // 1024)
