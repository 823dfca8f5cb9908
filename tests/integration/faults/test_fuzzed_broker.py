"""A short, reproducible fuzz of a running broker through its socket; `scripts/fuzz --target live` runs more."""

from __future__ import annotations

from fuzzing.live_broker import fuzz_broker


def test_a_fuzzed_broker_serves_on() -> None:
    result = fuzz_broker(
        inputs=4_000, seconds=60, seed=20261121, progress=lambda _done, _found: None, round_inputs=2_000
    )
    assert result.inputs == 4_000
    assert not result.findings, [finding.what for finding in result.findings]
