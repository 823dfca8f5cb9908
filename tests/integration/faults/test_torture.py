"""
A few rounds of scripts/torture: nothing promised to a client is lost, whatever dies.

The seed is fixed, so the same faults come in the same order: workers killed, killed again while they start, stopped and
resumed, the whole broker killed. The long runs are started by hand.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SEED = "4"
ROUNDS = 5


@pytest.mark.timeout(180)
def test_rounds_of_torture_find_nothing(tmp_path: Path) -> None:
    """The exit code says whether every check of every round held; what it printed says which did not."""
    log = tmp_path / "torture.log"
    options = ["--rounds", str(ROUNDS), "--round-seconds", "1", "--rate", "1200", "--seed", SEED, "--log", str(log)]
    done = subprocess.run(
        [sys.executable, "perf/torture", *options], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: {ROUNDS} rounds" in done.stdout
    for fault in ("kill_worker", "stop_worker", "kill_supervisor"):
        assert f"'{fault}'" in log.read_text(), f"the seed no longer brings {fault}; choose another"
