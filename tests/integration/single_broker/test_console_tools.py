"""The console tools as people use them: at once, interrupted at any moment, into pipes that break and full disks."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from clients import Confluent
from command_line import kbroker, run_kbroker
from waiting import eventually

from kbroker.testing import Broker

KBROKER = [sys.executable, "-m", "kbroker"]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker({"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false"}) as broker:
        yield broker


@pytest.fixture(scope="module")
def at(broker: Broker) -> tuple[str, str]:
    return ("--bootstrap-server", broker.bootstrap_servers)


def values(broker: Broker, topic: str) -> list[str]:
    """Return the records of a topic with one partition."""
    read = ("console-consumer", "--topic", topic, "--partition", "0", "--offset", "earliest")
    count = Confluent(broker.bootstrap_servers).end_offsets(topic, 1)[0]
    if not count:
        return []
    return kbroker(*read, "--max-messages", str(count), "--bootstrap-server", broker.bootstrap_servers).splitlines()


def test_the_first_record_is_there_at_once_and_ctrl_c_ends_it(broker: Broker, at: tuple[str, str]) -> None:
    """The limits are for a busy machine; it takes less than half a second, and a tenth to end."""
    broker.create_topic("first", partitions=3)
    kbroker("console-producer", "--topic", "first", *at, lines=["hello"])
    started_s = time.monotonic()
    with subprocess.Popen([*KBROKER, "console-consumer", "--topic", "first", "--from-beginning", *at], **PIPES) as tool:
        assert tool.stdout.readline() == "hello\n"
        shown_s = time.monotonic()
        listed = kbroker("consumer-groups", "--list", *at)
        interrupted_s = time.monotonic()
        tool.send_signal(signal.SIGINT)
        assert tool.wait(30) == 130
        ended_s = time.monotonic()
        assert tool.stderr.read() == "Processed a total of 1 messages\n"
    assert "console-consumer-" in listed
    assert shown_s - started_s < 5
    assert ended_s - interrupted_s < 3


def test_leaving_does_not_wait_for_the_join() -> None:
    """The group has neither the member nor a rebalance to wait for afterwards."""
    with Broker({"group.initial.rebalance.delay.ms": "30000"}) as broker:
        broker.create_topic("t")
        at = ("--bootstrap-server", broker.bootstrap_servers)
        command = [*KBROKER, "console-consumer", "--topic", "t", "--group", "slow", *at]
        with subprocess.Popen(command, **PIPES) as tool:
            eventually(lambda: _state(at, "slow")[:1] == ["PreparingRebalance"], "the consumer to join")
            interrupted_s = time.monotonic()
            tool.send_signal(signal.SIGINT)
            assert tool.wait(25) == 130
            assert time.monotonic() - interrupted_s < 10
        eventually(lambda: _state(at, "slow")[1:] == ["0"], "the member to have left")


def _state(at: tuple[str, str], group: str) -> list[str]:
    """Return state and number of members of a group."""
    lines = run_kbroker("consumer-groups", "--describe", "--state", "--group", group, *at).stdout.splitlines()
    return lines[-1].split()[-2:] if len(lines) > 1 else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_the_producer_keeps_accepted_lines_at_a_signal(
    broker: Broker, at: tuple[str, str], number: signal.Signals
) -> None:
    topic = f"kept-{number.name}"
    broker.create_topic(topic)
    command = [*KBROKER, "console-producer", "--topic", topic, "--timeout", "60000", *at]
    lines = [f"line {index}" for index in range(3000)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, **PIPES) as tool:
        tool.stdin.write("".join(f"{line}\n" for line in lines) + "unfini")
        tool.stdin.flush()
        # It has read all that stands in the pipe when it waits for more; its linger keeps it from being sent.
        eventually(lambda: _catches(tool.pid, number), "the producer to be ready")
        tool.send_signal(number)
        assert tool.wait(30) == 128 + number
        assert tool.stderr.read() == "kbroker: the last 6 bytes were no finished line and are not sent\n"
    assert values(broker, topic) == lines


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler of its own for a signal, and has read what was to be read."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return bool(caught >> signal.SIGHUP - 1 & 1) and bool(caught >> number - 1 & 1)


def test_the_producer_on_a_terminal_keeps_lines_at_ctrl_c_ctrl_d_and_hang_up(
    broker: Broker, at: tuple[str, str]
) -> None:
    for end, code in ((b"\x03", 130), (b"\x04", 0), (None, 129)):
        topic = f"typed-{code}"
        broker.create_topic(topic)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(KBROKER[0], [*KBROKER, "console-producer", "--topic", topic, *at])
        assert os.read(terminal, 1) == b">"
        os.write(terminal, b"typed\n")
        shown = b""
        while b">" not in shown:
            shown += os.read(terminal, 100)
        if end is not None:
            os.write(terminal, end)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
            assert os.read(terminal, 100).endswith(b"\n"), "the shell's prompt begins a line of its own"
            os.close(terminal)
        else:
            os.close(terminal)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
        assert values(broker, topic) == ["typed"]


def test_a_prompt_that_nobody_sees_loses_no_line(broker: Broker, at: tuple[str, str]) -> None:
    broker.create_topic("unseen")
    ours, theirs = pty.openpty()
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    command = [*KBROKER, "console-producer", "--topic", "unseen", *at]
    with subprocess.Popen(command, stdin=theirs, stdout=write_fd, stderr=subprocess.PIPE, text=True) as tool:
        os.close(write_fd)
        os.write(ours, b"typed\n\x04")
        assert tool.wait(30) == 0
        assert tool.stderr.read() == ""
    os.close(ours)
    os.close(theirs)
    assert values(broker, "unseen") == ["typed"]


def test_keys_go_where_kafkas_own_tools_put_them(broker: Broker, at: tuple[str, str]) -> None:
    broker.create_topic("keyed", 64)
    keys = {"foo": 16, "bar": 0}
    lines = [f"{key}\t{key}" for key in keys]
    kbroker("console-producer", "--topic", "keyed", "--property", "parse.key=true", *at, lines=lines)
    read = kbroker(
        "console-consumer", "--topic", "keyed", "--from-beginning", "--max-messages", "2",
        "--property", "print.partition=true", *at,
    )  # fmt: skip
    assert "Partition:16\tfoo" in read.splitlines()


def test_a_topic_that_is_missing_is_told(at: tuple[str, str]) -> None:
    done = run_kbroker("console-producer", "--topic", "missing", *at, lines=["lost"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "kbroker: topic missing does not exist, and the broker makes none by itself (auto.create.topics.enable). "
        "Create it with: kbroker topics --create --topic missing\n"
    )
    done = run_kbroker("console-producer", "--topic", "bad name", *at, lines=["lost"])
    assert done.returncode == 1
    assert done.stderr.startswith("kbroker: topic bad name: ")


def test_the_consumers_output_may_break_or_be_full(broker: Broker, at: tuple[str, str]) -> None:
    """A reader that has enough is no error; a full disk is, and what was not printed is read again."""
    broker.create_topic("printed")
    kbroker("console-producer", "--topic", "printed", *at, lines=[f"line {number}" for number in range(20_000)])
    command = [*KBROKER, "console-consumer", "--topic", "printed", "--from-beginning", "--group", "printers", *at]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("kbroker: cannot write to standard output: No space left on device\n")
    with subprocess.Popen(command, **PIPES) as tool:
        assert tool.stdout.readline() == "line 0\n"
        tool.stdout.close()
        assert tool.wait(30) == 0
        assert tool.stderr.read().startswith("Processed a total of ")
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert closed.returncode == 1
    assert "cannot write to standard output: Bad file descriptor" in closed.stderr


def test_a_broker_that_is_advertised_where_nobody_is_is_told() -> None:
    """The classic of containers: the bootstrap server answers, the address that it names does not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        with Broker({"advertised.listeners": f"PLAINTEXT://{nowhere}"}) as broker:
            at = ("--bootstrap-server", f"127.0.0.1:{broker.port}")
            refused = run_kbroker("topics", "--create", "--topic", "t", *at)
            assert refused.returncode == 1
            assert f"is advertised as {nowhere}, but there: connection refused (advertised.listeners)" in refused.stdout
            assert run_kbroker("topics", "--list", *at).returncode == 0
            with subprocess.Popen([*KBROKER, "console-consumer", "--topic", "t", *at], **PIPES) as tool:
                told = tool.stderr.readline()
                tool.send_signal(signal.SIGINT)
                assert tool.wait(30) == 130
            assert told.startswith("kbroker: ")
            assert nowhere in told


def test_what_was_printed_is_committed_and_no_more(broker: Broker, at: tuple[str, str]) -> None:
    """Ten records were read in one batch; three were wanted, then one, then the rest until Ctrl-C."""
    broker.create_topic("counted")
    kbroker("console-producer", "--topic", "counted", *at, lines=[str(number) for number in range(10)])
    read = ("console-consumer", "--topic", "counted", "--group", "counters", "--from-beginning", *at)
    assert kbroker(*read, "--max-messages", "3").split() == ["0", "1", "2"]
    assert kbroker(*read, "--max-messages", "1").split() == ["3"]
    with subprocess.Popen([*KBROKER, *read], **PIPES) as tool:
        assert [tool.stdout.readline() for _ in range(6)] == [f"{number}\n" for number in range(4, 10)]
        tool.send_signal(signal.SIGINT)
        assert tool.wait(30) == 130
    described = kbroker("consumer-groups", "--describe", "--group", "counters", *at).splitlines()
    assert described[-1].split()[:6] == ["counters", "counted", "0", "10", "10", "0"]
