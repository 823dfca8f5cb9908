"""Which segments may go: by age, by size, below the log start; never what is not committed, never the last one."""

from __future__ import annotations

import pytest

from kbroker.storage.log_config import LogConfig
from kbroker.storage.retention import SegmentFacts, count_deletable

HOUR = 3_600_000
NOW = 100 * HOUR
SEGMENTS = [
    SegmentFacts(0, 10, 100, NOW - 5 * HOUR),
    SegmentFacts(10, 20, 100, NOW - 3 * HOUR),
    SegmentFacts(20, 30, 100, NOW - HOUR),
]
KEEP = LogConfig(retention_ms=-1, retention_bytes=-1)


@pytest.mark.parametrize(
    ("config", "log_start", "high_watermark", "count"),
    [
        pytest.param(KEEP, 0, 30, 0, id="no limits: all stay"),
        pytest.param(LogConfig(retention_ms=4 * HOUR), 0, 30, 1, id="the oldest is too old"),
        pytest.param(LogConfig(retention_ms=2 * HOUR), 0, 30, 2, id="two are"),
        pytest.param(LogConfig(retention_ms=HOUR // 2), 0, 30, 3, id="all are, the active one too"),
        pytest.param(LogConfig(retention_ms=HOUR // 2), 0, 15, 1, id="only what is committed"),
        pytest.param(LogConfig(retention_ms=-1, retention_bytes=200), 0, 30, 1, id="one too many for the size"),
        pytest.param(
            LogConfig(retention_ms=-1, retention_bytes=150), 0, 30, 1, id="deleting never goes below the size"
        ),
        pytest.param(LogConfig(retention_ms=-1, retention_bytes=0), 0, 30, 3, id="nothing may stay"),
        pytest.param(KEEP, 20, 30, 2, id="below the log start"),
        pytest.param(KEEP, 19, 30, 1, id="a segment that holds the log start stays"),
        pytest.param(KEEP, 30, 30, 2, id="the active segment stays even then"),
        pytest.param(LogConfig(retention_ms=0, cleanup_policy=frozenset({"compact"})), 0, 30, 0, id="compacted only"),
        pytest.param(
            LogConfig(retention_ms=0, cleanup_policy=frozenset({"compact"})), 10, 30, 1, id="but not below start"
        ),
    ],
)
def test_count_deletable(config, log_start, high_watermark, count):
    assert count_deletable(SEGMENTS, config, NOW, log_start, high_watermark) == count


def test_an_empty_active_segment_stays():
    segments = [SEGMENTS[0], SegmentFacts(10, 10, 0, NOW - 50 * HOUR)]
    assert count_deletable(segments, LogConfig(retention_ms=0), NOW, 0, 10) == 1
