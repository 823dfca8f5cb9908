"""Levels of loggers are set while the process runs, and taken back."""

from __future__ import annotations

import logging

import pytest

from kbroker.log_levels import LogLevels, level_of, logger_names


@pytest.fixture
def room(monkeypatch):
    """Two loggers of their own, and a root logger that is put right again."""
    before = logging.root.level
    logging.root.setLevel(logging.INFO)
    child = logging.getLogger("kbroker.room_of_the_test.child")
    yield child
    logging.root.setLevel(before)
    for name in ("kbroker.room_of_the_test.child", "kbroker.room_of_the_test"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_level_holds_for_the_logger_and_those_below_it(room):
    levels = LogLevels()
    levels.follow({"kbroker.room_of_the_test": "DEBUG"})
    assert level_of("kbroker.room_of_the_test.child") == "DEBUG"
    assert level_of("root") == "INFO"
    levels.follow({"kbroker.room_of_the_test": "DEBUG", "kbroker.room_of_the_test.child": "FATAL"})
    assert level_of("kbroker.room_of_the_test.child") == "FATAL"
    levels.follow({})
    assert level_of("kbroker.room_of_the_test.child") == "INFO"


def test_the_root_logger_goes_back_to_what_the_start_gave_it(room):
    levels = LogLevels()
    levels.follow({"root": "ERROR"})
    assert level_of("kbroker.room_of_the_test.child") == "ERROR"
    levels.follow({})
    assert level_of("root") == "INFO"


def test_packages_are_loggers_too(room):
    assert {"kbroker.room_of_the_test", "kbroker.room_of_the_test.child"} <= set(logger_names())
    assert all(name.split(".")[0] == "kbroker" for name in logger_names())
