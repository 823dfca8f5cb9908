"""The command itself: what loads when, and how errors are told."""

import socket
import subprocess
import sys

import pytest


def kbroker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kbroker", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_no_command_loads_what_it_does_not_use() -> None:
    """A broker starts in a fraction of a second; clients and tools would cost more than that."""
    code = (
        "import sys, kbroker.__main__, kbroker.cli.start, kbroker.cli.topics, kbroker.cli.status\n"
        "print([name for name in ('confluent_kafka', 'psutil', 'zmq', 'asyncio', 'sqlite3') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert result.stdout == "[]\n"


def test_help_names_all_commands() -> None:
    text = kbroker("--help").stdout
    for name in ("start", "stop", "status", "topics", "console-producer", "console-consumer", "consumer-groups"):
        assert name in text


@pytest.fixture
def closed_port() -> str:
    """Return an address where nobody listens: the port is taken, and kept from being listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "--list"),
        ("console-consumer", "--topic", "t"),
        ("console-producer", "--topic", "t"),
        ("consumer-groups", "--list"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_broker_is_one_line_with_address_and_fix(arguments: tuple[str, ...], closed_port: str) -> None:
    result = kbroker(*arguments, "--bootstrap-server", closed_port)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"kbroker: cannot connect to {closed_port}: connection refused. Is the broker running? "
        "Start one with: kbroker start\n"
    )


@pytest.mark.parametrize("server", ["localhost", "localhost:port", ":"])
def test_an_address_that_is_none(server: str) -> None:
    result = kbroker("topics", "--list", "--bootstrap-server", server)
    assert (result.returncode, result.stderr) == (1, f"kbroker: --bootstrap-server {server}: expected host:port\n")


def test_a_bad_value_at_the_start_is_one_line() -> None:
    result = kbroker("start", "--override", "num.io.threads=none")
    assert result.returncode == 1
    assert result.stderr == "kbroker: --override: num.io.threads=none: expected a whole number from 1 to 2147483647\n"


def test_a_bad_flag_names_the_nearest() -> None:
    result = kbroker("topics", "--desdribe")
    assert result.returncode == 1
    assert "--describe" in result.stderr
