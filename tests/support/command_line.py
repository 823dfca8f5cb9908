"""kbroker's own command line, as a user's shell runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def kbroker(*arguments: str, lines: Sequence[str] = (), timeout_s: float = 60.0) -> str:
    """
    Run `kbroker` with these arguments; return what it wrote to standard output.

    lines  what it reads on standard input

    Raises AssertionError when it fails.
    """
    done = run_kbroker(*arguments, lines=lines, timeout_s=timeout_s)
    assert done.returncode == 0, f"kbroker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_kbroker(
    *arguments: str, lines: Sequence[str] = (), timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run `kbroker` with these arguments, however it ends."""
    return subprocess.run(
        [sys.executable, "-m", "kbroker", *arguments],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
