"""An IO worker tells the producers of its partitions as the log knows them."""

from __future__ import annotations

from pathlib import Path

from kbroker.clock import ManualClock
from kbroker.io_workers.dispatch import OwnedPartition
from kbroker.io_workers.producer_list import describe_producers
from kbroker.protocol.record_batch import BatchBuilder
from kbroker.storage.log import Log
from kbroker.storage.log_config import LogConfig
from kbroker.types import TopicPartition

ASKED = {"row": 3, "topic": "t", "partition": 0}


def test_producers_are_told_with_what_they_wrote_last(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path / "t-0"), TopicPartition("t", 0), LogConfig(), clock=ManualClock())
    for sequence, timestamp in ((0, 1_000), (1, 2_000)):
        builder = BatchBuilder(producer_id=9, producer_epoch=4, base_sequence=sequence)
        builder.append(b"k", b"v", timestamp)
        log.stage(memoryview(bytearray(builder.build())), 0, 3_000)
    log.write_staged()
    answer = describe_producers({3: OwnedPartition(3, log, 0)}, ASKED)
    assert answer == {
        "error": 0,
        "producers": [
            {
                "producer_id": 9,
                "producer_epoch": 4,
                "last_sequence": 1,
                "last_timestamp": 2_000,
                "coordinator_epoch": -1,
                "current_txn_start_offset": -1,
            }
        ],
    }
    assert describe_producers({3: OwnedPartition(3, log, 0)}, {**ASKED, "topic": "u"})["error"] == 56
    log.close()


def test_partitions_of_others_and_offline_ones_are_refused() -> None:
    assert describe_producers({}, ASKED) == {"error": 6, "producers": []}
    assert describe_producers({3: OwnedPartition(3, None, 0)}, ASKED) == {"error": 56, "producers": []}
