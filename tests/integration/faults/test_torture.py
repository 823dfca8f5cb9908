"""
A few rounds of scripts/torture: nothing promised to a client is lost, whatever dies.

The seed is fixed, so the faults come in the same order, each kind at least once: workers killed, killed again while
they start, stopped and resumed, the whole broker killed. The long runs, with all kinds of faults, are started by hand.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SEED = "4"
FAULTS = [
    "kill_worker",
    "kill_worker_twice",
    "kill_stopped",
    "stop_worker",
    "stop_one_kill_another",
    "kill_supervisor",
]


@pytest.mark.timeout(180)
def test_rounds_of_torture_find_nothing(tmp_path: Path) -> None:
    """The exit code says whether every check of every round held; what it printed says which did not."""
    log = tmp_path / "torture.log"
    rounds = str(len(FAULTS))
    options = ["--rounds", rounds, "--round-seconds", "0.5", "--rate", "1200", "--seed", SEED, "--log", str(log)]
    options += ["--faults", *FAULTS]
    done = subprocess.run(
        [sys.executable, "perf/torture", *options], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: {rounds} rounds" in done.stdout
    for fault in FAULTS:
        assert f"'{fault}'" in log.read_text(), f"{fault} did not happen"
