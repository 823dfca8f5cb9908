"""The command line of the fuzzer."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path

DEFAULT_INPUTS = 1_000_000
_LIVE = "live"
_LIVE_SHARE = 0.05


def main() -> int:
    """Run what the command line asks for; return 0 when nothing was found, 1 when something was."""
    options = _options()
    engine = options.engine
    if engine == "auto":
        engine = "atheris" if importlib.util.find_spec("atheris") else "mutations"
    if engine == "atheris":
        # Instrumentation happens at import: before anything else imports the readers.
        from fuzzing.instrumentation import instrument

        instrument()
    from fuzzing.engine import Finding, Result, run_target
    from fuzzing.live_broker import fuzz_broker
    from fuzzing.targets import TARGETS

    names = options.target or [*TARGETS, _LIVE]
    unknown = set(names) - {*TARGETS, _LIVE}
    if unknown:
        print(
            f"no such target: {', '.join(sorted(unknown))}; there are {', '.join([*TARGETS, _LIVE])}", file=sys.stderr
        )
        return 2
    directory = Path(options.directory)
    directory.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}, {options.inputs:,} inputs, engine {engine}, kept in {directory}/", flush=True)
    budgets = _shares(names, {name: target.weight for name, target in TARGETS.items()}, options.inputs)
    all_inputs = sum(budgets.values())
    results: list[Result] = []
    findings: list[Finding] = []
    started = time.monotonic()
    for name in names:

        def progress(done: int, found: int, name: str = name) -> None:
            seconds = time.monotonic() - started
            _show(f"{name:12} {done:>12,} of {budgets[name]:,} inputs, {found} findings, {seconds:.0f} s")

        seconds = options.seconds * budgets[name] / all_inputs if options.seconds else 0
        if name == _LIVE:
            result = fuzz_broker(inputs=budgets[name], seconds=seconds, seed=options.seed, progress=progress)
        else:
            result = run_target(
                name,
                inputs=budgets[name],
                seconds=seconds,
                seed=options.seed,
                engine=engine,
                directory=directory,
                progress=progress,
            )
        results.append(result)
        findings += result.findings
        _show("")
        rate = result.inputs / max(result.seconds, 0.001)
        print(
            f"{name:12} {result.inputs:>12,} inputs {result.seconds:>8.1f} s {rate:>9,.0f}/s "
            f"corpus {result.corpus:>6,}  memory {result.growth_kib / 1024:+.1f} MiB  findings {len(result.findings)}",
            flush=True,
        )
    for finding in findings:
        path = directory / finding.file_name
        path.write_bytes(finding.data)
        print(f"FINDING {finding.target}: {finding.what}\n        {path}")
    print(f"{sum(result.inputs for result in results):,} inputs, {time.monotonic() - started:.0f} s, "
          f"{len(findings)} findings, seed {options.seed}")  # fmt: skip
    return 1 if findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description="Send what no client sends to everything that reads bytes; exit 1 on a finding.",
    )
    parser.add_argument("--inputs", type=int, default=DEFAULT_INPUTS, help="over all targets (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0, help="end earlier, after about so long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31), help="of a former run")
    parser.add_argument("--engine", choices=("auto", "atheris", "mutations"), default="auto",
                        help="atheris is guided by coverage; auto: atheris when it is installed")  # fmt: skip
    parser.add_argument("--target", action="append", help="only this one; may be repeated (default: all)")
    parser.add_argument(
        "--directory", default=".fuzz", help="where corpus and findings are kept (default: %(default)s)"
    )
    return parser.parse_args()


def _shares(names: list[str], weights: dict[str, int], inputs: int) -> dict[str, int]:
    shares = {name: weights.get(name, 0) for name in names}
    if _LIVE in shares:
        shares[_LIVE] = max(1, round(sum(shares.values()) * _LIVE_SHARE))
    total = sum(shares.values())
    return {name: max(1, inputs * share // total) for name, share in shares.items()}


def _show(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="", flush=True)
    elif line:
        now = time.monotonic()
        if now - _LAST_SHOWN[0] >= 10:
            _LAST_SHOWN[0] = now
            print(line, flush=True)


_LAST_SHOWN = [0.0]
