"""Log lines go to standard error, with the process that speaks."""

import logging
import os
import re

import pytest

from kbroker.errors import ConfigError
from kbroker.logging_setup import (
    for_standard_error,
    name_client,
    set_process_prefix,
    set_up_logging,
    tell_left_out,
    with_priority,
)


@pytest.fixture(autouse=True)
def restored():
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level, name = root.handlers[:], root.level, logging.getLevelName(logging.WARNING)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.addLevelName(logging.WARNING, name)


def test_a_line_has_time_level_process_and_message(capsys) -> None:
    set_up_logging(None, {})
    set_process_prefix("io-2")
    logging.getLogger("kbroker.x").warning("it is %s", "late")
    logging.getLogger("kbroker.x").debug("unseen")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARN \[io-2\] it is late\n", capsys.readouterr().err)


def test_set_up_again_does_not_print_twice(capsys) -> None:
    set_up_logging("ERROR", {})
    set_up_logging(None, {"KBROKER_LOG_LEVEL": "debug"})
    logging.getLogger("kbroker.x").debug("once")
    assert capsys.readouterr().err.count("once") == 1


def test_an_unknown_level() -> None:
    with pytest.raises(ConfigError, match="log level LOUD: expected one of"):
        set_up_logging(None, {"KBROKER_LOG_LEVEL": "loud"})


def journal() -> str:
    """Return JOURNAL_STREAM as systemd would set it if descriptor 2 were its journal."""
    status = os.fstat(2)
    return f"{status.st_dev}:{status.st_ino}"


def test_the_journal_gets_priorities_and_no_time_of_ours(capsys) -> None:
    set_up_logging("DEBUG", {"JOURNAL_STREAM": journal()})
    set_process_prefix("net-1")
    log = logging.getLogger("kbroker.x")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    log.critical("c")
    assert capsys.readouterr().err == "<7>[net-1] d\n<6>[net-1] i\n<4>[net-1] w\n<3>[net-1] e\n<2>[net-1] c\n"


def test_each_line_of_a_traceback_has_its_priority(capsys) -> None:
    set_up_logging(None, {"JOURNAL_STREAM": journal()})
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        logging.getLogger("kbroker.x").exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>lines"


@pytest.mark.parametrize("stream", ["", "0:0", "8:1", "nonsense", ":", "1:2:3"])
def test_standard_error_that_is_not_the_journal(stream: str, capsys) -> None:
    """The variable is inherited by everything a service starts, also by what writes into a file."""
    set_up_logging(None, {"JOURNAL_STREAM": stream})
    logging.getLogger("kbroker.x").info("plain")
    assert re.match(r"\d{4}-\d\d-\d\d ", capsys.readouterr().err)


def test_a_line_without_a_logger(monkeypatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert for_standard_error("kbroker: no") == "kbroker: no"
    monkeypatch.setenv("JOURNAL_STREAM", journal())
    assert for_standard_error("kbroker: no\nmore") == "<3>kbroker: no\n<3>more"
    assert with_priority("x", logging.NOTSET) == "<7>x"


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (("/192.0.2.1", 40412), "192.0.2.1:40412"),
        (("/2001:db8::1", 40412, "app"), "[2001:db8::1]:40412 (client id 'app')"),
        (("/192.0.2.1", 0, ""), "192.0.2.1:0 (client id '')"),
        (("h", 1, "a\nb\x1b[2J"), r"h:1 (client id 'a\nb\x1b[2J')"),
        (("h", 1, "x" * 30_000), f"h:1 (client id '{'x' * 100}…')"),
    ],
)
def test_a_client_is_named_in_one_short_line(client, words: str) -> None:
    assert name_client(*client) == words


def test_a_flood_is_limited_on_its_way_out(capsys) -> None:
    set_up_logging(None, {})
    set_process_prefix("net-0")
    for port in range(500):
        logging.getLogger("kbroker.net.connection").warning("Connection of h:%d closed: too old", port)
    tell_left_out(everything=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 20
    assert lines[-1].endswith("WARN [net-0] Connection of h:499 closed: too old (… 490 more of these in the last 1 s)")
