"""server.properties and overrides become one value per component; what cannot be used is one clear line."""

import os
from pathlib import Path

import pytest

from kbroker.config import broker_config
from kbroker.config.broker_config import BrokerConfig, load_config
from kbroker.config.settings import ConfigSource
from kbroker.errors import ConfigError

VECTORS = Path(__file__).parent.parent / "vectors" / "server_properties"


def load(*overrides: str, home: str = "/home/me", **environ: str) -> BrokerConfig:
    return load_config(None, overrides, {"HOME": home, **environ})


@pytest.fixture
def written(tmp_path: Path):
    """Return a function that writes a server.properties and loads it."""

    def write(text: str, *overrides: str) -> BrokerConfig:
        path = tmp_path / "server.properties"
        path.write_text(text, encoding="utf-8")
        return load_config(str(path), overrides, {"HOME": "/home/me"})

    return write


def test_no_configuration_at_all() -> None:
    """`kbroker start` alone listens on the loopback interfaces and keeps data in the user's directory."""
    config = load()
    assert [str(one) for one in config.listeners.listeners] == ["PLAINTEXT://localhost:9092"]
    assert config.listeners.advertised is None
    assert config.log_dirs.directories == ("/home/me/.local/share/kbroker",)
    assert config.log_dirs.is_default
    assert config.metadata.directory == "/home/me/.local/share/kbroker"
    assert config.identity.broker_id is None
    assert config.warnings == ()


def test_xdg_data_home_is_honoured_when_absolute() -> None:
    assert load(XDG_DATA_HOME="/data").log_dirs.directories == ("/data/kbroker",)
    assert load(XDG_DATA_HOME="data").log_dirs.directories == ("/home/me/.local/share/kbroker",)


@pytest.mark.parametrize("cores, network, io", [(1, 1, 1), (2, 1, 1), (4, 1, 2), (8, 2, 4), (16, 3, 8), (64, 3, 8)])
def test_pools_follow_the_cores(monkeypatch, cores: int, network: int, io: int) -> None:
    monkeypatch.setattr(broker_config, "available_cores", lambda: cores)
    pools = load().pools
    assert (pools.num_network_threads, pools.num_io_threads) == (network, io)


def test_requests_in_flight_leave_most_of_a_memory_limit_to_others(monkeypatch) -> None:
    monkeypatch.setattr(broker_config, "memory_limit_bytes", lambda: None)
    assert load().sockets.queued_max_request_bytes == -1
    monkeypatch.setattr(broker_config, "memory_limit_bytes", lambda: 512 * 2**20)
    assert load("num.network.threads=2").sockets.queued_max_request_bytes == 64 * 2**20
    assert load("queued.max.request.bytes=1000").sockets.queued_max_request_bytes == 1000


def test_pools_that_are_set_are_obeyed() -> None:
    pools = load("num.network.threads=5", "num.io.threads=13").pools
    assert (pools.num_network_threads, pools.num_io_threads) == (5, 13)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.properties")), ids=lambda path: path.stem)
def test_files_of_walk_throughs_and_of_kafka_itself_start(path: Path) -> None:
    """No parameter of theirs is unknown."""
    config = load_config(str(path), (), {"HOME": "/home/me"})
    assert [line for line in config.warnings if "unknown key" in line] == []


def test_the_kernel_sizes_receive_buffers_unless_a_file_does() -> None:
    assert load_config(None, (), {"HOME": "/home/me"}).sockets.socket_receive_buffer_bytes == -1
    config = load_config(str(VECTORS / "single_broker_0_9.properties"), (), {})
    assert config.sockets.socket_receive_buffer_bytes == 102400


def test_the_single_broker_walk_through() -> None:
    config = load_config(str(VECTORS / "single_broker_0_9.properties"), (), {})
    assert [str(one) for one in config.listeners.listeners] == ["PLAINTEXT://:9092"]
    assert (config.pools.num_network_threads, config.pools.num_io_threads) == (3, 8)
    assert config.sockets.socket_send_buffer_bytes == 102400
    assert config.log_dirs.directories == ("/tmp/kafka-logs",)
    assert config.identity.broker_id == 0
    assert len(config.warnings) == 1
    assert "clusters over ZooKeeper are not in this version" in config.warnings[0]


def test_a_controller_of_kraft_is_not_bound() -> None:
    """Kafka's own file for one node starts, without the port of the quorum."""
    config = load_config(str(VECTORS / "kraft_4_0.properties"), (), {})
    assert [str(one) for one in config.listeners.listeners] == ["PLAINTEXT://:9092"]
    assert [str(one) for one in config.listeners.advertised or ()] == ["PLAINTEXT://localhost:9092"]
    assert config.identity.broker_id == 1


def test_old_names_of_listeners() -> None:
    config = load("port=9093", "host.name=kfk1", "advertised.host.name=pub", "advertised.port=19093")
    assert [str(one) for one in config.listeners.listeners] == ["PLAINTEXT://kfk1:9093"]
    assert [str(one) for one in config.listeners.advertised or ()] == ["PLAINTEXT://pub:19093"]
    assert [str(one) for one in load("port=9093").listeners.listeners] == ["PLAINTEXT://:9093"]
    assert [str(one) for one in load("host.name=::1").listeners.listeners] == ["PLAINTEXT://[::1]:9092"]


def test_listeners_win_over_old_names() -> None:
    config = load("port=9093", "listeners=PLAINTEXT://:9094")
    assert [str(one) for one in config.listeners.listeners] == ["PLAINTEXT://:9094"]
    assert any("port does not count" in line for line in config.warnings)


def test_inter_broker_listener() -> None:
    several = ("listeners=LAN://:1,WAN://:2", "listener.security.protocol.map=LAN:PLAINTEXT,WAN:PLAINTEXT")
    assert load(*several).listeners.inter_broker == "LAN"
    assert load(*several, "inter.broker.listener.name=wan").listeners.inter_broker == "WAN"
    with pytest.raises(ConfigError, match="not among listeners"):
        load("inter.broker.listener.name=X")
    with pytest.raises(ConfigError, match="no listener speaks SSL"):
        load("security.inter.broker.protocol=SSL")


@pytest.mark.parametrize(
    ("overrides", "expected_ms"),
    [
        pytest.param((), 604_800_000, id="Kafka's week"),
        pytest.param(("log.retention.hours=2",), 7_200_000, id="hours"),
        pytest.param(("log.retention.hours=2", "log.retention.minutes=5"), 300_000, id="minutes before hours"),
        pytest.param(("log.retention.minutes=5", "log.retention.ms=7"), 7, id="milliseconds before minutes"),
        pytest.param(("log.retention.hours=-1",), -1, id="for ever"),
        pytest.param(("log.retention.ms=-1", "log.retention.hours=2"), -1, id="for ever in milliseconds"),
    ],
)
def test_retention(overrides: tuple[str, ...], expected_ms: int) -> None:
    assert load(*overrides).topic_defaults["retention.ms"] == expected_ms


def test_topic_defaults_come_from_the_brokers_keys() -> None:
    defaults = load(
        "log.segment.bytes=1000",
        "log.roll.hours=3",
        "log.roll.jitter.ms=4",
        "message.max.bytes=77",
        "log.flush.scheduler.interval.ms=9",
        "log.cleanup.policy=compact,delete",
    ).topic_defaults
    assert defaults["segment.bytes"] == 1000
    assert defaults["segment.ms"] == 10_800_000
    assert defaults["segment.jitter.ms"] == 4
    assert defaults["max.message.bytes"] == 77
    assert defaults["flush.ms"] == 9
    assert defaults["cleanup.policy"] == ("compact", "delete")


def test_log_dirs_and_its_old_name() -> None:
    assert load("log.dirs=/a, /b").log_dirs.directories == ("/a", "/b")
    assert load("log.dir=/a").log_dirs.directories == ("/a",)
    both = load("log.dir=/a", "log.dirs=/b")
    assert both.log_dirs.directories == ("/b",)
    assert any("log.dir does not count" in line for line in both.warnings)
    with pytest.raises(ConfigError, match="named twice"):
        load("log.dirs=/a,/a/")


def test_groups_and_sockets() -> None:
    config = load("group.max.size=7", "max.connections.per.ip.overrides=127.0.0.1:3,[::1]:4")
    assert config.groups["group_max_size"] == 7
    assert config.groups["group_initial_rebalance_delay_ms"] == 0
    assert config.sockets.max_connections_per_ip_overrides == {"127.0.0.1": 3, "::1": 4}


def test_more_replicas_than_brokers_are_explained() -> None:
    config = load("offsets.topic.replication.factor=3", "default.replication.factor=3")
    assert config.groups["offsets_topic_replication_factor"] == 1
    assert config.topics.default_replication_factor == 3
    assert len(config.warnings) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("num.io.threads=0", "expected a whole number from 1 to 2147483647"),
        ("log.roll.hours = 24*7", "arithmetic is not evaluated: write 168"),
        ("log.cleaner.delete.retention.ms = 1 day", "units are not understood"),
        ("broker.id=0                    # id", "put the comment on a line of its own"),
        ("log.dirs=/var/lib/kafka        # dir", "put the comment on a line of its own"),
        ("listeners=SSL://:9093", "SSL, which is not in this version"),
        ("advertised.listeners=LAN://a:1", "listener.security.protocol.map"),
        ("authorizer.class.name=kafka.security.authorizer.AclAuthorizer", "must not start without it"),
        ("create.topic.policy.class.name=x.Y", "cannot run here"),
        ("max.connections.per.ip.overrides=127.0.0.1", "expected address:number"),
        ("group.min.session.timeout.ms=9999999", "expected at most group.max.session.timeout.ms"),
        ("process.roles=controller", "without a broker"),
        ("log.cleanup.policy=shred", "expected a list of delete, compact"),
        ("log.dirs=/a,,/b", "expected directories separated by commas"),
    ],
)
def test_a_bad_value_is_one_line_with_key_value_file_and_line(written, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(f"# first\n{line}\n")
    text = str(caught.value)
    key, _, value = line.partition("=")
    assert text.startswith(f"{tmp_path}/server.properties line 2: {key.strip()}={value.strip()}: ")
    assert message in text
    assert "\n" not in text


def test_bytes_that_are_no_utf8_are_latin_1_but_in_paths_they_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "server.properties"
    path.write_bytes(b"# \xe9\nlog.dirs=/d/caf\xe9,/d/s\xc3\xb8k\nbroker.rack=caf\xe9\n")
    config = load_config(str(path), (), {"HOME": "/home/me"})
    assert [os.fsencode(name) for name in config.log_dirs.directories] == [b"/d/caf\xe9", b"/d/s\xc3\xb8k"]
    assert config.identity.rack == "café"
    described = {key.name: key.value for key in config.describe({})}
    assert described["log.dirs"] == "/d/café,/d/søk"


def test_a_bad_override_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--override: num.partitions=x: expected"):
        load("num.partitions=x")
    with pytest.raises(ConfigError, match=r"^--override num.partitions: expected key=value"):
        load("num.partitions")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*/none\.properties: No such file"):
        load_config(str(tmp_path / "none.properties"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("log.retention.hour=3", "unknown key log.retention.hour; did you mean log.retention.hours?"),
        ("completely.different=3", "unknown key completely.different"),
        ("group.id=x", "group.id belongs into the configuration of a producer or consumer"),
        ("request.required.acks=1", "belongs into the configuration of a producer or consumer"),
        ("retention.ms=3", "retention.ms is a key of single topics; for all topics it is log.retention.ms"),
        ("replica.lag.max.messages=1", "Apache Kafka itself no longer has it"),
        ("transaction.max.timeout.ms=1", "transactions are not in this version"),
        ("listener.name.lan.ssl.keystore.location=/x", "settings of single listeners"),
    ],
)
def test_what_has_no_effect_is_a_warning_with_its_place(written, line: str, message: str) -> None:
    warnings = written(line).warnings
    assert len(warnings) == 1
    assert "server.properties line 1: " in warnings[0]
    assert message in warnings[0]


def test_a_key_without_effect_at_its_default_is_not_worth_a_word(written) -> None:
    assert written("transaction.state.log.min.isr=1\nlog.cleaner.enable=true\n").warnings == ()


def test_the_last_of_duplicates_counts_and_an_override_wins(written) -> None:
    config = written("num.partitions=2\nnum.partitions=3\n")
    assert config.topics.num_partitions == 3
    assert "line 2: num.partitions is set again; this value counts, not the one of line 1" in config.warnings[0]
    overridden = written("num.partitions=2\n", "num.partitions=4", "num.partitions=5")
    assert overridden.topics.num_partitions == 5
    assert overridden.warnings == ()


def test_an_empty_value_means_not_set(written) -> None:
    config = written("num.io.threads=\nbroker.rack=\nlog.retention.ms=\n")
    assert config.identity.rack is None
    assert config.topic_defaults["retention.ms"] == 604_800_000


def test_secrets_appear_nowhere(written) -> None:
    config = written("ssl.keystore.password=geheim\nsasl.jaas.config=geheim\n")
    assert not any("geheim" in line for line in config.warnings)
    assert "geheim" not in str(config.describe({}))


def test_described_keys_name_their_source_and_synonyms() -> None:
    """What DescribeConfigs of a broker answers."""
    described = {
        one.name: one for one in load("num.partitions=3", "log.dir=/a", "broker.id=4").describe({"node.id": 4})
    }
    assert described["num.partitions"].value == "3"
    assert described["num.partitions"].source is ConfigSource.STATIC_BROKER_CONFIG
    assert [tuple(one) for one in described["num.partitions"].synonyms] == [
        ("num.partitions", "3", ConfigSource.STATIC_BROKER_CONFIG),
        ("num.partitions", "1", ConfigSource.DEFAULT_CONFIG),
    ]
    assert described["log.dirs"].value == "/a"
    assert described["log.dirs"].source is ConfigSource.STATIC_BROKER_CONFIG
    assert (described["node.id"].value, described["broker.id"].value) == ("4", "4")
    assert [tuple(one) for one in described["node.id"].synonyms] == [
        ("node.id", "4", ConfigSource.STATIC_BROKER_CONFIG)
    ]
    assert described["message.max.bytes"].source is ConfigSource.DEFAULT_CONFIG
    assert int(described["num.io.threads"].value or 0) >= 1
    assert described["ssl.keystore.password"].sensitive
    assert all(one.documentation for one in described.values())


def test_names_that_kafka_gave_up_are_told_only_where_they_are_set() -> None:
    assert "port" not in {one.name for one in load().describe({})}
    assert "port" in {one.name for one in load("port=9093").describe({})}


def test_what_is_set_while_the_broker_runs_wins_over_the_file() -> None:
    """Per broker, then for all brokers, then the file, then the default: KIP-226."""
    start = load("log.retention.ms=5000", "max.connections=5", "producer.id.expiration.ms=7000")
    changed = start.with_dynamic(
        {"log.retention.ms": "6000", "max.connections": "6", "max.connections.per.ip.overrides": "127.0.0.1:2"},
        {"log.retention.ms": "7000", "producer.id.expiration.ms": "8000"},
    )
    assert changed.topic_defaults["retention.ms"] == 7000
    assert changed.sockets.max_connections == 6
    assert changed.sockets.max_connections_per_ip_overrides == {"127.0.0.1": 2}
    assert changed.log_manager.producer_id_expiration_ms == 8000
    described = {one.name: one for one in changed.describe({})}
    assert [tuple(one) for one in described["log.retention.ms"].synonyms] == [
        ("log.retention.ms", "7000", ConfigSource.DYNAMIC_BROKER_CONFIG),
        ("log.retention.ms", "6000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG),
        ("log.retention.ms", "5000", ConfigSource.STATIC_BROKER_CONFIG),
        ("log.retention.hours", "168", ConfigSource.DEFAULT_CONFIG),
    ]
    assert start.with_dynamic({}, {}).topic_defaults == start.topic_defaults


def test_stored_settings_that_cannot_be_used_do_not_count_and_are_told() -> None:
    """Somebody else wrote the store, or an older version did."""
    changed = load().with_dynamic(
        {"log.retention.ms": "soon", "num.partitions": "4", "num.io.threads": "9", "sasl.jaas.config": "geheim"}, {}
    )
    assert changed.topic_defaults["retention.ms"] == 604_800_000
    assert changed.topics.num_partitions == 1
    assert len(changed.warnings) == 4
    assert all("does not count" in line and "geheim" not in line for line in changed.warnings)
    assert "geheim" not in str(changed.describe({}))


def test_names_nobody_knows_are_told_without_their_value() -> None:
    """Kafka takes them for its plug-ins, and they might be secrets."""
    described = {one.name: one for one in load().with_dynamic({"my.plugin.secret": "geheim"}, {}).describe({})}
    unknown = described["my.plugin.secret"]
    assert (unknown.value, unknown.sensitive, unknown.type) == (None, True, 0)
    assert "geheim" not in str(described)


def test_the_clusters_own_key_is_told_as_in_a_cluster_of_kafka_4() -> None:
    """KIP-966: min.insync.replicas always is set for all brokers; it begins with the value of the file."""
    described = {one.name: one for one in load("min.insync.replicas=2").with_dynamic({}, {}).describe({})}
    assert [tuple(one) for one in described["min.insync.replicas"].synonyms] == [
        ("min.insync.replicas", "2", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG),
        ("min.insync.replicas", "2", ConfigSource.STATIC_BROKER_CONFIG),
        ("min.insync.replicas", "1", ConfigSource.DEFAULT_CONFIG),
    ]


def test_a_setting_in_words_has_its_place_and_no_secret() -> None:
    overrides = ("ssl.key.password=hush", "num.partitions=3")
    words = sorted(str(setting) for setting in load_config(None, overrides, {"HOME": "/"}).settings.given.values())
    assert words == ["--override: num.partitions=3", "--override: ssl.key.password=[hidden]"]
