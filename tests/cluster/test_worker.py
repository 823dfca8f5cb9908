"""What the cluster worker does to the disk itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kbroker.cluster.adoption import plan_adoption
from kbroker.cluster.nodes import decode_broker, encode_broker
from kbroker.cluster.registration import BrokerRegistration
from kbroker.cluster.worker import broker_state, remove_partition_directory
from kbroker.config.broker_config import load_config


def test_a_removal_that_is_cut_short_leaves_nothing_to_adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that tells the topic id is gone, the log is still there: it must not look like a partition any more."""
    directory = tmp_path / "deleted-0"
    directory.mkdir()
    (directory / "partition.metadata").write_text("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n")
    (directory / "00000000000000000000.log").write_bytes(b"")

    def killed(path: str) -> None:
        Path(path, "partition.metadata").unlink()
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(InterruptedError):
            remove_partition_directory(str(directory))
    assert plan_adoption([str(tmp_path)], {}, {}).topics == ()


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "deleted-3"
    directory.mkdir()
    (directory / "00000000000000000000.log").write_bytes(b"x")
    remove_partition_directory(str(directory))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["listeners=PLAINTEXT://Broker-1.example:9092"], [("Broker-1.example", 9092)]),
        (["listeners=PLAINTEXT://localhost:0"], [("localhost", 40001)]),
        (["listeners=PLAINTEXT://:9092"], [("", 9092)]),
        (["listeners=PLAINTEXT://[::]:9092"], [("", 9092)]),
        (["listeners=PLAINTEXT://10.0.0.1:9092"], [("", 9092)]),
        ([], [("localhost", 9092)]),
        (
            ["listeners=PLAINTEXT://localhost:9092", "advertised.listeners=PLAINTEXT://10.0.0.9:19092"],
            [("10.0.0.9", 19092)],
        ),
    ],
    ids=str,
)
def test_the_broker_s_node_says_what_clients_are_told(overrides: list[str], told: list[tuple[str, int]]) -> None:
    """An empty host stands for the address that each of them dials."""
    config = load_config(None, overrides, {"HOME": "/"})
    bound = [(one.name, one.security_protocol, one.port or 40001) for one in config.listeners.listeners]
    state = broker_state(config, BrokerRegistration(0, "a-cluster"), bound)
    assert [(endpoint.host, endpoint.port) for endpoint in state.endpoints] == told
    assert decode_broker(0, encode_broker(state, 0)) == state
