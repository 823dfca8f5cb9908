"""Which kbroker the integration tests run against."""

from __future__ import annotations

import os
import subprocess
import sys

import kbroker


def test_what_runs_is_what_is_meant_to_be_tested() -> None:
    """`scripts/test` runs a part of the tests again on the compiled tree; then nothing may come from the source."""
    meant = os.environ.get("KBROKER_TEST_COMPILED") == "1"
    assert kbroker.is_compiled() is meant
    told = subprocess.run([sys.executable, "-m", "kbroker", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"kbroker {kbroker.__version__}" + (" (compiled)\n" if meant else "\n")
