"""The way in: commands found by name, standard streams in any state, Ctrl-C from the first moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kbroker.__main__ import COMMANDS
from kbroker.cli.command_line import LazyGroup

PROJECT = Path(__file__).resolve().parents[2]
KBROKER = [sys.executable, "-m", "kbroker"]
NOBODY = ("--bootstrap-server", "127.0.0.1:1")


def shell(redirections: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `kbroker` with a shell's redirections, such as `>&-`."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirections}', "sh", *KBROKER, *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("topic", "'topics'"),
        ("kafka-topics.sh", "'topics'"),
        ("kafka-console-consumer", "'console-consumer'"),
        ("console_producer", "'console-producer'"),
        ("consle-producer", "'console-producer'"),
        ("groups", "'consumer-groups'"),
        ("kafka-server-start.sh", "'start'"),
    ],
)
def test_a_mistyped_command_names_the_one_that_was_meant(typed: str, meant: str) -> None:
    result = CliRunner().invoke(LazyGroup(COMMANDS), [typed])
    assert result.exit_code != 0
    assert f"No such command '{typed}'. Did you mean {meant}" in result.stderr


def test_a_command_like_no_other_gets_no_guess() -> None:
    result = CliRunner().invoke(LazyGroup(COMMANDS), ["xyzzy"])
    assert "No such command 'xyzzy'.\n" in result.stderr


def test_options_may_have_one_dash_as_with_kafkas_tools() -> None:
    result = CliRunner().invoke(LazyGroup(COMMANDS), ["topics", "-list", "-bootstrap-server", "nowhere"])
    assert str(result.exception) == "--bootstrap-server nowhere: expected host:port"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_shows_an_example_that_could_be_typed(name: str) -> None:
    group = LazyGroup(COMMANDS)
    text = CliRunner().invoke(group, [name, "--help"], terminal_width=200).output
    examples = re.findall(rf"^ +(?:echo .* \| )?kbroker {name}(.*)$", text.split("Example", 1)[1], re.MULTILINE)
    assert examples
    command = group.get_command(click.Context(group), name)
    assert command is not None
    known = {option for one in command.params for option in one.opts}
    for example in examples:
        assert set(re.findall(r"--[\w-]+", example)) <= known, example


@pytest.mark.parametrize("redirections", [">/dev/full", ">&-"])
@pytest.mark.parametrize("arguments", [("--help",), ("status", "--json", "--data-dir", "/nonexistent/kbroker")])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(redirections: str, arguments: tuple[str]) -> None:
    result = shell(redirections, *arguments)
    assert result.returncode == 1
    assert re.fullmatch(r"kbroker: cannot write to standard output: [\w ]+\n", result.stderr)


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    result = shell("| true; echo $?", "--help")
    assert (result.stdout, result.stderr) == ("0\n", "")


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-", "<&- >/dev/null 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("topics", "--list", *NOBODY), 1),
        (("topics",), 1),
        (("status", "--data-dir", "/nonexistent/kbroker"), 3),
        (("console-producer", "--topic", "t", *NOBODY), 1),
    ],
)
def test_closed_streams_change_no_exit_code(redirections: str, arguments: tuple[str, ...], code: int) -> None:
    result = shell(redirections, *arguments)
    assert result.returncode == code
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["grüße→", "\udcff\udcfe"], ids=ascii)
def test_what_the_locale_cannot_print_is_printed_somehow(environment: dict[str, str], name: str) -> None:
    for arguments, code in ((("status", "--data-dir", f"/nonexistent/{name}"), 3), ((name,), 1)):
        result = shell("", *arguments, **environment)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout + result.stderr


@pytest.mark.parametrize("delay_s", [0.03, 0.05, 0.08])
def test_ctrl_c_while_everything_still_loads(delay_s: float) -> None:
    """Only what the interpreter does before it runs anything of ours may complain."""
    command = [sys.executable, str(PROJECT / "packaging/kbroker"), "console-consumer", "--topic", "t", *NOBODY]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for _ in range(3):
        with subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}, **pipes) as process:
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            _, messages = process.communicate(timeout=30)
        if "Fatal Python error: init_" in messages or process.returncode == -signal.SIGINT:
            continue
        assert "Traceback" not in messages
        assert process.returncode in {130, 1}  # 1: it had ended, or was about to, for want of a broker


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """Whoever starts a command in the background of a shell does not want it to hear Ctrl-C."""
    code = (
        "import signal, sys, kbroker.__main__\nsys.argv[1:] = ['--version']\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "try:\n    kbroker.__main__.main()\nfinally:\n    print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.endswith("True\n")
