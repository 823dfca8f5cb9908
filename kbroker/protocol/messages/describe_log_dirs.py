"""DescribeLogDirs (35): log directories of a broker, with their replicas and sizes."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int16, int32, int64, string


class DescribableLogDirTopic(Message):
    """One entry of `topics` in DescribeLogDirsRequest."""

    topic: str = string()
    partitions: list[int] = array(int32())


class DescribeLogDirsRequest(Message, api_key=35, versions=(0, 5), flexible=2):
    """What a client asks with DescribeLogDirs."""

    topics: list[DescribableLogDirTopic] | None = array(DescribableLogDirTopic, nullable_since=0)


class DescribeLogDirsPartition(Message):
    """One entry of `partitions` in DescribeLogDirsResponse."""

    partition_index: int = int32()
    partition_size: int = int64()
    offset_lag: int = int64()
    is_future_key: bool = boolean()


class DescribeLogDirsTopic(Message):
    """One entry of `topics` in DescribeLogDirsResponse."""

    name: str = string()
    partitions: list[DescribeLogDirsPartition] = array(DescribeLogDirsPartition)


class DescribeLogDirsResult(Message):
    """One entry of `results` in DescribeLogDirsResponse."""

    error_code: int = int16()
    log_dir: str = string()
    topics: list[DescribeLogDirsTopic] = array(DescribeLogDirsTopic)
    total_bytes: int = int64(since=4, default=-1)
    usable_bytes: int = int64(since=4, default=-1)
    is_cordoned: bool = boolean(since=5, default=False)


class DescribeLogDirsResponse(Message, api_key=35, versions=(0, 5), flexible=2):
    """What the broker answers to DescribeLogDirs."""

    throttle_time_ms: int = int32()
    error_code: int = int16(since=3)
    results: list[DescribeLogDirsResult] = array(DescribeLogDirsResult)
