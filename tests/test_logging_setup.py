"""Log lines go to standard error, with the process that speaks."""

import logging
import re

import pytest

from kbroker.errors import ConfigError
from kbroker.logging_setup import set_process_prefix, set_up_logging


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
