"""What clients can cause at will is limited and counted; what happens once is told."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator

import pytest

from kbroker.clock import ManualClock
from kbroker.log_floods import KINDS, LINES, WINDOW_MS, FloodFilter


class Log(logging.Handler):
    """Collects lines."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.floods = FloodFilter(self.clock.monotonic_ms)
        self.addFilter(self.floods)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def closed(port: int, reason: str = "Fetch v3 is not served", logger: str = "kbroker.net.connection") -> None:
    logging.getLogger(logger).warning("Connection of 192.0.2.1:%d closed: %s", port, reason)


def test_an_old_client_that_reconnects_for_ever_costs_a_few_lines_and_a_count(log: Log) -> None:
    for port in range(10_000, 10_322):
        closed(port)
        log.clock.advance(100)
    assert len(log.lines) == LINES
    log.floods.tell()
    assert len(log.lines) == LINES, "the minute is not over"
    log.clock.advance(WINDOW_MS - 32_200)
    log.floods.tell()
    assert log.lines[LINES:] == [
        "Connection of 192.0.2.1:10321 closed: Fetch v3 is not served (… 312 more of these in the last 60 s)"
    ]
    log.floods.tell()
    closed(1)
    assert len(log.lines) == LINES + 2, "it is told once, and a new minute begins"


def test_a_new_window_tells_what_the_last_one_left_out_also_when_nobody_asks(log: Log) -> None:
    for _ in range(LINES + 5):
        closed(1)
    log.clock.advance(WINDOW_MS + 30_000)
    closed(2)
    assert log.lines[LINES:] == [
        "Connection of 192.0.2.1:1 closed: Fetch v3 is not served (… 5 more of these in the last 90 s)",
        "Connection of 192.0.2.1:2 closed: Fetch v3 is not served",
    ]


def test_other_words_are_another_kind(log: Log) -> None:
    for _ in range(100):
        closed(1)
    closed(1, "the client speaks HTTP")
    logging.getLogger("kbroker.net.acceptor").warning("Listener %s cannot accept: %s", "PLAINTEXT", "no descriptors")
    assert len(log.lines) == LINES + 2


def test_a_client_that_varies_its_words_runs_out_of_kinds(log: Log) -> None:
    for number in range(20_000):
        closed(1, "".join(chr(ord("a") + int(digit)) for digit in str(number)))
    assert len(log.lines) <= (KINDS + 1) * LINES
    log.floods.tell(everything=True)
    assert not log.floods._floods, "nothing of it stays in memory"
    assert sum("more of these in the last 1 s" in line for line in log.lines) == 1
    closed(1)
    assert "Fetch v3" in log.lines[-1]


@pytest.mark.parametrize(
    ("logger", "level"),
    [
        pytest.param("kbroker.storage.recovery", logging.WARNING, id="a recovery tells of each partition"),
        pytest.param("kbroker.cli.start", logging.WARNING, id="a start tells of each key"),
        pytest.param("kbroker.networks", logging.WARNING, id="another name that begins alike"),
        pytest.param("kbroker.coordinator.group_coordinator", logging.INFO, id="no warning"),
        pytest.param("someone.else", logging.ERROR, id="somebody else's"),
    ],
)
def test_what_is_not_limited(log: Log, logger: str, level: int) -> None:
    for number in range(3 * LINES):
        logging.getLogger(logger).log(level, "%d", number)
    assert len(log.lines) == 3 * LINES


def test_errors_of_a_flood_keep_nothing_alive(log: Log) -> None:
    """A traceback holds its frames, and they the memory of requests."""

    class Held(Exception):
        def __str__(self) -> str:
            return "a bug"

    references = []
    for _ in range(LINES + 1):
        try:
            raise Held
        except Held as error:
            references.append(weakref.ref(error))
            record = logging.LogRecord("kbroker.api.fetch", logging.ERROR, "", 0, "failed: %s", (error,), None)
            record.exc_info = (Held, error, error.__traceback__)
            log.floods.filter(record)
    del record
    gc.collect()
    assert references[-1]() is None
    log.floods.tell(everything=True)
    assert log.lines == ["failed: a bug (… 1 more of these in the last 1 s)"]


def test_a_line_whose_arguments_do_not_fit_harms_nobody(log: Log) -> None:
    """That is for the handler to complain of, as without a limit."""
    for _ in range(LINES + 1):
        assert log.floods.filter(logging.LogRecord("kbroker.net", logging.ERROR, "", 0, "%d %d", (1,), None)) == (
            _ < LINES
        )
    log.floods.tell(everything=True)
    assert log.lines == ["%d %d (… 1 more of these in the last 1 s)"]
