"""
A steady load at a stated rate, by Locust: its report, and what memory and descriptors the broker has before and after.

    scripts/load --rate 500 --seconds 600              a broker of its own; ends with 1 when the rate was missed
    scripts/load --rate 500 --seconds 600 --web        the same with Locust's web page
    scripts/load --bootstrap-servers HOST:PORT [--pid PID]   a running broker; PID: its supervisor, to look at

Ends with 0 when at least 95 % of the rate was produced and consumed and no call failed. perf/locustfile.py tells what
the users do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from process_usage import cpu_seconds, descendants, proportional_set_size_bytes

from kbroker.testing import Broker

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
USERS = 12
"""As many as perf/locustfile.py has."""
SAMPLE_INTERVAL_S = 10.0


class Sample(NamedTuple):
    """A broker at one moment: MiB of all its processes, their open descriptors, CPU seconds so far."""

    memory_mib: float
    descriptors: int
    cpu_s: float
    processes: int

    def __str__(self) -> str:
        """Return the sample for people."""
        return (
            f"{self.memory_mib:6.1f} MiB (PSS), {self.descriptors:4} descriptors, {self.processes} processes, "
            f"{self.cpu_s:7.1f} s of CPU"
        )


def look(pid: int) -> Sample:
    """Return what the broker whose supervisor is `pid` uses now."""
    pids = descendants(pid)
    descriptors = sum(len(os.listdir(f"/proc/{one}/fd")) for one in pids)
    return Sample(proportional_set_size_bytes(pids) / 2**20, descriptors, cpu_seconds(pids), len(pids))


def watch(locust: subprocess.Popen[bytes], pid: int | None, seconds: float) -> tuple[Sample, Sample] | None:
    """
    Print samples until Locust has ended.

    Returns the first after everybody had connected, and the last before they leave; None without a pid or when it was
    too short.
    """
    begun = time.monotonic()
    settled_s = min(SAMPLE_INTERVAL_S, seconds / 3)
    samples: list[Sample] = []
    due = begun + settled_s
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            locust.wait(max(0.0, due - time.monotonic()))
            break
        elapsed = time.monotonic() - begun
        due += min(SAMPLE_INTERVAL_S, seconds / 3)
        # Locust itself takes a moment to start; at the very end clients leave.
        if pid is not None and (not seconds or elapsed < seconds):
            samples.append(look(pid))
            print(f"[{elapsed:6.0f} s] broker: {samples[-1]}", flush=True)
    return (samples[0], samples[-1]) if len(samples) > 1 else None


def locust_command(arguments: argparse.Namespace, address: str) -> list[str]:
    """Return Locust's command line."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", address]
    command += ["--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{arguments.seconds}s"]
    command += ["--records-per-second", str(arguments.rate), "--record-bytes", str(arguments.record_bytes)]
    command += ["--stop-timeout", "10", "--loglevel", "WARNING"]
    if arguments.html:
        command += ["--html", arguments.html]
    if arguments.web:
        return [*command, "--autostart", "--web-host", "127.0.0.1", "--web-port", str(arguments.web_port)]
    return [*command, "--headless", "--only-summary"]


def parse_arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        prog="scripts/load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200, help="records per second to produce and to consume (200)")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--record-bytes", type=int, default=100, help="size of a record's value (100)")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="a running broker; none: one is started")
    parser.add_argument("--pid", type=int, help="with --bootstrap-servers: the process whose memory is told")
    parser.add_argument("--html", metavar="FILE", help="write Locust's report as a page")
    parser.add_argument("--web", action="store_true", help="with Locust's web page; Ctrl-C ends it")
    parser.add_argument("--web-port", type=int, default=8089, help="of the web page (8089)")
    return parser.parse_args()


def main() -> int:
    """Run the load; return the exit code."""
    arguments = parse_arguments()
    with contextlib.ExitStack() as stack:
        address, pid = arguments.bootstrap_servers, arguments.pid
        if not address:
            broker = stack.enter_context(Broker())
            address, pid = broker.bootstrap_servers, broker.pid
        before = look(pid) if pid else None
        print(f"{address}: {arguments.rate:g} records/s for {arguments.seconds} s", flush=True)
        if before:
            print(f"[before  ] broker: {before}", flush=True)
        if arguments.web:
            print(f"web page: http://127.0.0.1:{arguments.web_port}", flush=True)
        locust = subprocess.Popen(locust_command(arguments, address))
        try:
            span = watch(locust, pid, arguments.seconds)
        except KeyboardInterrupt:
            locust.send_signal(signal.SIGINT)
            span = None
        code = locust.wait(60)
        if pid:
            print(f"[after   ] broker: {look(pid)}", flush=True)
        if span:
            first, last = span
            grown = last.memory_mib - first.memory_mib
            print(
                f"from the first sample under load to the last: memory {first.memory_mib:.1f} to "
                f"{last.memory_mib:.1f} MiB ({grown:+.1f}), descriptors {first.descriptors} to {last.descriptors}",
                flush=True,
            )
    print("rate reached, nothing failed" if code == 0 else f"NOT as asked (Locust ended with {code})", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
