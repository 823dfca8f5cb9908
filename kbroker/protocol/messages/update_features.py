"""UpdateFeatures (57): raise or lower the level of cluster features."""

from __future__ import annotations

from kbroker.protocol.schema import Message, array, boolean, int8, int16, int32, string


class FeatureUpdateKey(Message):
    """One entry of `feature_updates` in UpdateFeaturesRequest."""

    feature: str = string()
    max_version_level: int = int16()
    allow_downgrade: bool = boolean(until=0)
    upgrade_type: int = int8(since=1, default=1)


class UpdateFeaturesRequest(Message, api_key=57, versions=(0, 2), flexible=0):
    """What a client asks with UpdateFeatures."""

    timeout_ms: int = int32(default=60000)
    feature_updates: list[FeatureUpdateKey] = array(FeatureUpdateKey)
    validate_only: bool = boolean(since=1, default=False)


class UpdatableFeatureResult(Message):
    """One entry of `results` in UpdateFeaturesResponse."""

    feature: str = string()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)


class UpdateFeaturesResponse(Message, api_key=57, versions=(0, 2), flexible=0):
    """What the broker answers to UpdateFeatures."""

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable_since=0)
    results: list[UpdatableFeatureResult] = array(UpdatableFeatureResult, until=1)
