"""
Instructions per request in user space, counted with callgrind: what a busy machine cannot blur.

    scripts/bench --instructions [--requests N] [--tree FUNCTION]

    --requests  Produce requests of one record of 100 bytes, one outstanding (6000)
    --tree      print what a function and those it calls cost, by the end of its compiled name, such as
                "Connection____handle" or "AppendDispatcher___end_turn"

One network worker and one IO worker. Under valgrind everything takes fifty times as long, so workers sleep between
requests instead of looking: the counts hold their doorbells and wake-ups too, which a quick client does not cause.
Needs valgrind (Debian: apt-get install valgrind).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import native_clients
from confluent_kafka.admin import AdminClient, NewTopic

from kbroker.cli.run_file import read_run_file

_PART_BLOCKS = 40_000_000
"""Basic blocks between two dumps: the last whole one of each worker holds requests and nothing of its start."""
_START_TIMEOUT_S = 120
_DEPTH = 8
_LEAST_SHOWN = 200
_PER_REQUEST = {"network worker": "check_batch", "IO worker": "Log___write_staged"}
"""Called once per request."""


class Call(NamedTuple):
    """A function as called by another: how often, and instructions with all that it called."""

    count: int
    instructions: int


class Profile:
    """
    One dump of callgrind.

    own    instructions of each function itself
    calls  of each function, by callee
    """

    def __init__(self, path: Path) -> None:
        self.own: defaultdict[str, int] = defaultdict(int)
        self.calls: defaultdict[str, dict[str, Call]] = defaultdict(dict)
        names: dict[str, str] = {}
        function = callee = ""
        count = 0
        for line in path.read_text().splitlines():
            if named := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line):
                if named[3]:
                    names[named[2]] = named[3]
                if named[1]:
                    callee = names[named[2]]
                else:
                    function = names[named[2]]
            elif line.startswith("calls="):
                count = int(line[6:].split()[0])
            elif function and (cost := re.match(r"[+\-*\d]\S* (\d+)$", line)):
                instructions = int(cost[1])
                if callee:
                    earlier = self.calls[function].get(callee, Call(0, 0))
                    self.calls[function][callee] = Call(earlier.count + count, earlier.instructions + instructions)
                    callee = ""
                else:
                    self.own[function] += instructions

    def total(self) -> int:
        """Return all instructions."""
        return sum(self.own.values())

    def calls_of(self, ending: str) -> int:
        """Return how often the function was called whose compiled name ends so."""
        return sum(
            call.count
            for callees in self.calls.values()
            for name, call in callees.items()
            if name.split("'")[0].endswith(ending)
        )

    def print_tree(self, ending: str, requests: int) -> None:
        """Print what the function whose compiled name ends so costs per request, and what it calls."""
        for name in list(self.own):
            if name.split("'")[0].endswith(ending) and name.startswith("CPyDef_"):
                inside = self.own[name] + sum(call.instructions for call in self.calls[name].values())
                print(
                    f"{inside / requests:8.0f}        {name.split(chr(39))[0]}, itself {self.own[name] / requests:.0f}"
                )
                self._print_calls(name, requests, 1, {name})

    def _print_calls(self, name: str, requests: int, depth: int, above: set[str]) -> None:
        called = sorted(self.calls[name].items(), key=lambda item: -item[1].instructions)
        for callee, call in called:
            if call.instructions / requests < _LEAST_SHOWN:
                return
            shown = callee.split("'")[0]
            print(f"{call.instructions / requests:8.0f} {call.count / requests:5.2f} × {'  ' * depth}{shown}")
            if depth < _DEPTH and callee not in above:
                self._print_calls(callee, requests, depth + 1, above | {callee})


def count(requests: int, work: Path) -> dict[str, Profile]:
    """Run a broker under callgrind and return a profile per worker, each of some thousand requests."""
    data = work / "data"
    command = [
        *("valgrind", "--tool=callgrind", "--separate-callers=2", f"--dump-every-bb={_PART_BLOCKS}"),
        f"--callgrind-out-file={work}/%p",
        *(sys.executable, "-m", "kbroker", "start"),
    ]
    for override in (
        "listeners=PLAINTEXT://127.0.0.1:0",
        f"log.dirs={data}",
        "num.network.threads=1",
        "num.io.threads=1",
        "auto.create.topics.enable=true",
    ):
        command += ["--override", override]
    with (work / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as broker:
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while (run := read_run_file(str(data))) is None:
                if broker.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the broker did not start:\n{(work / 'log').read_text()[-2000:]}")
                time.sleep(0.2)
            port = run.listeners[0]["port"]
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
            for created in admin.create_topics([NewTopic("instructions", 1, 1)], request_timeout=60).values():
                created.result(60)
            # Or it would tell of the broker's end.
            del admin
            error_position = native_clients.write_produce_frames(work / "frames", "instructions", range(1))
            native_clients.run(
                "raw_sockets", ["127.0.0.1", port, work / "frames", error_position, 1, 100, requests], lambda: 0.0
            )
        finally:
            broker.terminate()
    profiles = {}
    for name, title in (("network worker", "net-0"), ("IO worker", "io-0")):
        parts = sorted(work.glob(f"{run.workers[title]}.*"), key=lambda path: int(path.suffix[1:]))
        if not parts:
            raise RuntimeError(f"no profile of the {name}: ask for more --requests")
        profiles[name] = Profile(parts[-1])
    return profiles


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench --instructions", description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--tree", default="", metavar="FUNCTION")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is missing: apt-get install valgrind")
    native_clients.build()
    with tempfile.TemporaryDirectory(prefix="kbroker-instructions-") as directory:
        profiles = count(options.requests, Path(directory))
    for name, profile in profiles.items():
        requests = profile.calls_of(_PER_REQUEST[name])
        print(f"{name}: {profile.total() // max(1, requests):,} instructions per request ({requests:,} counted)")
        if options.tree:
            profile.print_tree(options.tree, requests)


if __name__ == "__main__":
    main()
