"""What handlers are told of a topic's configuration."""

from __future__ import annotations

import pytest

from kbroker.api.handlers import produce_limits
from kbroker.config.broker_config import load_config
from kbroker.metadata.image import PartitionState, TopicState


@pytest.mark.parametrize(("configured", "replicas", "asked_for"), [("2", (0,), 1), ("2", (0, 1, 2), 2), ("1", (0,), 1)])
def test_no_more_replicas_have_to_be_in_sync_than_there_are(
    configured: str, replicas: tuple[int, ...], asked_for: int
) -> None:
    defaults = load_config(None, (), {"HOME": "/home/me"}).topic_defaults
    topic = TopicState(
        "t", b"i" * 16, (PartitionState(0, 0, 0, 0, 0, replicas, replicas),), {"min.insync.replicas": configured}
    )
    assert produce_limits(lambda: defaults)(topic).min_insync_replicas == asked_for
