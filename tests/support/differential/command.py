"""
kbroker and Apache Kafka side by side: the same raw requests to both, the answers compared field by field.

    scripts/differential                    all scenarios against Kafka 4.4 and 3.9, a few minutes
    scripts/differential --against 4.4      against one of them
    scripts/differential --only Fetch,...   scenarios about these APIs, or of these names
    scripts/differential --list             scenarios, allowed differences and ignored fields, with their reasons
    scripts/differential --all              each allowed difference as well, not only how many
    scripts/differential --tools            Kafka's command-line tools against both, what they print compared
    scripts/differential --write-docs       write what was found into docs/compatibility.md

What differs is either allowed by a rule, with its reason (rules.py), or DIFFERENT. Exit code 0: nothing is DIFFERENT;
1: something is; 2: the comparison could not be made.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import apache_kafka

from differential import catalogue, compatibility, report, tools
from differential.actions import Scenario
from differential.brokers import running_kafka, running_kbroker
from differential.comparison import Known
from differential.normalise import FIELD_RULES
from differential.rules import AS_NEWER, RULES, UNSERVED
from differential.runner import Run, run_scenarios
from differential.world import Versions, common_versions, served_versions

KAFKA_VERSIONS = ("4.4", "3.9")


class Progress:
    """Lines with the time since the start, and how far both brokers are."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        seconds = int(time.monotonic() - self._begun)
        print(f"[{seconds // 60}:{seconds % 60:02}] {text}", flush=True)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        prog="scripts/differential", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", choices=KAFKA_VERSIONS, help="version of Apache Kafka (default: both)")
    parser.add_argument("--only", metavar="API,...", default="", help="scenarios about these APIs, or of these names")
    parser.add_argument("--list", action="store_true", help="show scenarios, rules and ignored fields; start nothing")
    parser.add_argument("--all", action="store_true", help="show each allowed difference")
    parser.add_argument("--tools", action="store_true", help="compare what Kafka's command-line tools print")
    parser.add_argument("--write-docs", action="store_true", help="write docs/compatibility.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; return the exit code."""
    options = parse_arguments(arguments)
    try:
        scenarios = catalogue.chosen([name for name in options.only.split(",") if name])
    except ValueError as error:
        print(f"scripts/differential: {error}", file=sys.stderr)
        return 2
    if options.list:
        show(scenarios)
        return 0
    versions = (options.against,) if options.against else KAFKA_VERSIONS
    for version in versions:
        if message := apache_kafka.missing(version):
            print(f"scripts/differential: {message}", file=sys.stderr)
            return 2
    progress = Progress()
    if options.tools:
        return compare_tools(progress, with_allowed=options.all, write_docs=options.write_docs)
    found: list[report.Findings] = []
    served: Versions = {}
    for version in versions:
        findings, served = compare(version, scenarios, progress, found[-1].known if found else None)
        found.append(findings)
        for line in report.lines_of(findings, with_allowed=options.all):
            print(line)
        print(flush=True)
    if not options.only and len(found) > 1:
        used = {rule for findings in found for rule in findings.allowed}
        for rule in RULES:
            if rule not in used:
                print(f"  not needed any more: the rule for {rule.steps}, {rule.paths}: {rule.reason}")
    if options.write_docs:
        compatibility.write(found, served)
        progress.say(f"wrote {compatibility.PAGE}")
    return 0 if all(findings.is_clean for findings in found) else 1


def compare_tools(progress: Progress, *, with_allowed: bool, write_docs: bool) -> int:
    """Run Kafka's tools against both brokers; return the exit code."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        progress.say(f"starting kbroker and Apache Kafka {apache_kafka.CURRENT}")
        kafka = pool.submit(stack.enter_context, running_kafka(apache_kafka.CURRENT))
        ours, theirs = stack.enter_context(running_kbroker()), kafka.result()
        found = tools.compare(ours, theirs, progress.say)
    for line in tools.lines_of(found, with_allowed=with_allowed):
        print(line)
    if write_docs:
        compatibility.write_tools(found)
        progress.say(f"wrote {compatibility.PAGE}")
    return 0 if all(one.is_clean for one in found) else 1


def show(scenarios: Sequence[Scenario]) -> None:
    """Print what is compared and what is allowed to differ."""
    print("Scenarios:")
    for scenario in scenarios:
        apis = "all APIs" if len(scenario.apis) > 20 else ", ".join(report.api_name(api) for api in scenario.apis)
        print(f"  {scenario.name:28} {scenario.steps.__doc__} [{apis}]")
    print("\nFields that are not compared, or only whether they are there:")
    for field in FIELD_RULES:
        print(f"  {field.pattern:44} {field.reason}")
    print("\nAllowed differences (steps, field):")
    for rule in RULES:
        print(f"  {rule.reason}\n      {rule.steps}, {rule.paths}, Kafka {' and '.join(rule.against)}")
    print("\nAPIs and versions that kbroker does not serve:")
    for api, reason in UNSERVED.items():
        print(f"  {report.api_name(api):28} {reason}")


def compare(
    version: str, scenarios: Sequence[Scenario], progress: Progress, newer: Known | None
) -> tuple[report.Findings, Versions]:
    """
    Play the scenarios on both brokers; return what was found, and the versions that kbroker serves.

    newer  what comparing with a newer Kafka gave
    """
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        progress.say(f"starting kbroker and Apache Kafka {version}")
        kafka = pool.submit(stack.enter_context, running_kafka(version))
        our_address = stack.enter_context(running_kbroker()).address
        their_address = kafka.result().address
        ours, theirs = served_versions(our_address), served_versions(their_address)
        common = common_versions(ours, theirs)

        def tell(run: Run, name: str) -> None:
            done = [scenario.name for scenario in scenarios if any(step[0] == scenario.name for step in run.outcomes)]
            last = done[-1] if done else ""
            progress.say(f"{name:8} {len(run.outcomes):6,} requests, {len(done):2} of {len(scenarios)}: {last}")

        progress.say(f"{len(scenarios)} scenarios")
        kafkas = pool.submit(run_scenarios, their_address, common, scenarios, lambda run: tell(run, "Kafka"))
        our_run = run_scenarios(our_address, common, scenarios, lambda run: tell(run, "kbroker"))
        their_run = kafkas.result()
    findings = report.sort_out(
        version,
        our_run,
        their_run,
        RULES,
        versions=report.unexplained_versions(ours, theirs, UNSERVED),
        newer=newer,
        as_newer=AS_NEWER,
    )
    return findings._replace(version=apache_kafka.full_version(version)), ours
