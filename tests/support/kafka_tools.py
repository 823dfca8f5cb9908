"""Apache Kafka's own console tools and DumpLogSegments, as a test runs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import apache_kafka
import pytest


class KafkaTools:
    """The tools of one Kafka version, named as their shell scripts are (without kafka- and .sh)."""

    def __init__(self, version: str) -> None:
        if os.environ.get("KBROKER_TEST_SKIP_JAVA"):
            pytest.skip("KBROKER_TEST_SKIP_JAVA is set")
        self.version = version
        if message := apache_kafka.missing(version):
            pytest.fail(message)

    def command(self, tool: str, *arguments: str) -> list[str]:
        """Return the command line of a tool."""
        return apache_kafka.tool_command(self.version, tool, *arguments)

    def run(
        self,
        tool: str,
        *arguments: str,
        lines: Sequence[str] | None = None,
        timeout_s: float = 60.0,
        fails: bool = False,
    ) -> str:
        """
        Run a tool to its end; return what it wrote to standard output.

        lines  what it reads on standard input
        fails  the tool may end with an error; its standard error is then returned, too
        """
        done = subprocess.run(
            self.command(tool, *arguments),
            input="".join(f"{line}\n" for line in lines or ()),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if fails:
            return done.stdout + done.stderr
        assert done.returncode == 0, (
            f"{tool} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        )
        return done.stdout
