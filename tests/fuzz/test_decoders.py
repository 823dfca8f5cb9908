"""
A short, reproducible run of the fuzzer: no input makes a reader do anything but succeed or refuse.

`scripts/fuzz` runs millions. What it found once lies in tests/vectors/fuzz and is run here again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing.engine import Checker, run_mutations
from fuzzing.targets import TARGETS

VECTORS = Path(__file__).parents[1] / "vectors" / "fuzz"
INPUTS = 3_000


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input_is_at_worst_refused(name: str) -> None:
    checker = Checker(TARGETS[name])
    run_mutations(TARGETS[name], INPUTS, 20261121, checker.check)
    assert not checker.findings, [(found.what, found.data.hex()) for found in checker.findings.values()]


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.hex")), ids=lambda path: path.stem)
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    """A file is named <target>-<what it is>.hex."""
    checker = Checker(TARGETS[path.stem.partition("-")[0]])
    checker.check(bytes.fromhex(path.read_text()))
    assert not checker.findings, [found.what for found in checker.findings.values()]
