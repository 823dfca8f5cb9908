"""Which segments a log may let go of: by age, by size, by log start offset. Pure: values in, a number out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbroker.storage.log_config import LogConfig


class SegmentFacts(NamedTuple):
    """What retention needs to know of a segment."""

    base_offset: int
    end_offset: int
    """Base offset of the next segment, or the log's end."""
    size_bytes: int
    largest_timestamp: int


def count_deletable(
    segments: Sequence[SegmentFacts], config: LogConfig, now_ms: int, log_start_offset: int, high_watermark: int
) -> int:
    """
    Return how many of the oldest segments can go.

    segments  all segments, oldest first, the active one last

    Nothing past the high watermark goes, and never an empty active segment: a log keeps a segment to write to. When
    all segments are deletable the caller rolls first.
    """
    count = _count_before_log_start(segments, log_start_offset, high_watermark)
    if config.deletes:
        count = _count_older(segments, count, config.retention_ms, now_ms, high_watermark)
        count = _count_beyond_size(segments, count, config.retention_bytes, high_watermark)
    return count


def _may_go(segment: SegmentFacts, high_watermark: int) -> bool:
    return segment.size_bytes > 0 and segment.end_offset <= high_watermark


def _count_before_log_start(segments: Sequence[SegmentFacts], log_start_offset: int, high_watermark: int) -> int:
    count = 0
    # The active segment stays even when every record of it was deleted: its end is the log's end.
    while count < len(segments) - 1 and segments[count].end_offset <= min(log_start_offset, high_watermark):
        count += 1
    return count


def _count_older(
    segments: Sequence[SegmentFacts], count: int, retention_ms: int, now_ms: int, high_watermark: int
) -> int:
    if retention_ms < 0:
        return count
    while (
        count < len(segments)
        and now_ms - segments[count].largest_timestamp > retention_ms
        and _may_go(segments[count], high_watermark)
    ):
        count += 1
    return count


def _count_beyond_size(segments: Sequence[SegmentFacts], count: int, retention_bytes: int, high_watermark: int) -> int:
    if retention_bytes < 0:
        return count
    excess = sum(segment.size_bytes for segment in segments[count:]) - retention_bytes
    while count < len(segments) and excess >= segments[count].size_bytes and _may_go(segments[count], high_watermark):
        excess -= segments[count].size_bytes
        count += 1
    return count
