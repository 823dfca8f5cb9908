"""
The broker's configuration: `load_config` reads server.properties once, and each component gets its own value.

Pool sizes that are not set follow the cores this process may use (`kbroker.config.machine`): network workers a quarter
of them (1 to 3), IO workers half of them (1 to 8). Workers are processes: on two cores one of each already keeps both
busy, and more would only cost memory and wake-ups.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

from kbroker.config.components import (
    BrokerIdentity,
    FetchConfig,
    LogDirsConfig,
    LogManagerConfig,
    MetadataConfig,
    PoolConfig,
    SocketConfig,
    TopicConfig,
)
from kbroker.config.key import Value
from kbroker.config.keys import BROKER_KEYS, GROUP_KEYS
from kbroker.config.listeners import Listener, ListenerConfig, parse_listeners, parse_protocol_map
from kbroker.config.machine import available_cores, memory_limit_bytes
from kbroker.config.settings import DescribedKey, Settings, read_settings, readable
from kbroker.config.topic_config import TopicDefaults
from kbroker.config.topic_keys import TOPIC_KEYS
from kbroker.config.user_directories import user_directory
from kbroker.errors import ConfigError

_DEFAULT_PORT = 9092
_SHARE_OF_REQUESTS = 4
"""One part in so many of a memory limit may be taken by requests in flight."""

Component = TypeVar("Component")


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """
    Everything that can be configured, checked.

    topic_defaults  name of a topic's key → value in force where a topic does not override it
    groups          the coordinator's keys in snake case (`group_max_size`) → value
    warnings        lines for the log, once it is set up
    settings        what was set and where
    """

    identity: BrokerIdentity
    listeners: ListenerConfig
    pools: PoolConfig
    sockets: SocketConfig
    log_dirs: LogDirsConfig
    log_manager: LogManagerConfig
    fetch: FetchConfig
    topics: TopicConfig
    topic_defaults: TopicDefaults
    groups: Mapping[str, Value]
    metadata: MetadataConfig
    warnings: tuple[str, ...]
    settings: Settings

    def describe(self, known: Mapping[str, Value]) -> tuple[DescribedKey, ...]:
        """
        Return how DescribeConfigs tells the broker's keys, sorted by name; secrets have no value.

        known  values in force that settled only when the broker started, such as its id
        """
        in_force: dict[str, Value] = {
            "listeners": tuple(map(str, self.listeners.listeners)),
            "num.network.threads": self.pools.num_network_threads,
            "num.io.threads": self.pools.num_io_threads,
            "log.dirs": tuple(map(readable, self.log_dirs.directories)),
            "inter.broker.listener.name": self.listeners.inter_broker,
            "kbroker.metadata.dir": readable(self.metadata.directory),
            **known,
        }
        described = [
            self.settings.describe(key, in_force[name] if name in in_force else self.settings.value(name))
            for name, key in BROKER_KEYS.items()
            if not key.internal or name in self.settings.given
        ]
        return tuple(sorted([*described, *self.settings.describe_others()]))

    def with_dynamic(self, for_all: Mapping[str, str], own: Mapping[str, str]) -> BrokerConfig:
        """Return the configuration with what was set while the broker runs; see `Settings.with_dynamic`."""
        settings = self.settings.with_dynamic(for_all, own)
        parts = _changing_parts(settings, self.sockets.queued_max_request_bytes)
        return replace(self, settings=settings, warnings=settings.warnings, **parts)


def load_config(
    path: str | None, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> BrokerConfig:
    """
    Return the configuration of a broker.

    path       a server.properties file; None: no file
    overrides  `key=value` texts that win over the file
    environ    os.environ when None; XDG_DATA_HOME and HOME give the default data directory

    Raises ConfigError with one line that names key, value, file, line and what is expected.
    """
    settings = read_settings(path, overrides)
    warnings = list(settings.warnings)
    log_dirs = _log_dirs(settings, os.environ if environ is None else environ)
    broker_id = _integer(settings, "broker.id")
    topics = _component(settings, TopicConfig)
    if topics.default_replication_factor > 1:
        warnings.append(
            f"default.replication.factor={topics.default_replication_factor}: a single broker holds one replica; "
            "topics created without a replication factor will be refused"
        )
    if settings.value("process.roles") == ("controller",):
        raise settings.error("process.roles", "a controller without a broker is not in this version")
    _warn_of_shadowed(settings, warnings)
    pools = _pools(settings, available_cores())
    return BrokerConfig(
        identity=BrokerIdentity(None if broker_id < 0 else broker_id, _text(settings, "broker.rack") or None),
        listeners=_listeners(settings),
        pools=pools,
        log_dirs=log_dirs,
        fetch=_component(settings, FetchConfig),
        topics=topics,
        groups=_groups(settings, warnings),
        metadata=MetadataConfig(os.path.abspath(_text(settings, "kbroker.metadata.dir") or log_dirs.directories[0])),
        warnings=tuple(warnings),
        settings=settings,
        **_changing_parts(settings, _queued_bytes(settings, pools.num_network_threads, memory_limit_bytes())),
    )


def _changing_parts(settings: Settings, queued_max_request_bytes: int) -> dict[str, Any]:
    """Return the parts of a BrokerConfig that may change while the broker runs."""
    return {
        "sockets": _component(
            settings,
            SocketConfig,
            max_connections_per_ip_overrides=_per_ip(settings),
            queued_max_request_bytes=queued_max_request_bytes,
        ),
        "log_manager": _component(settings, LogManagerConfig),
        "topic_defaults": MappingProxyType({key.name: settings.find(key)[1] for key in TOPIC_KEYS.values()}),
    }


def default_log_dir(environ: Mapping[str, str]) -> str:
    """Return where data lies when log.dirs is not set: ${XDG_DATA_HOME:-~/.local/share}/kbroker."""
    try:
        data_home = user_directory("XDG_DATA_HOME", ".local/share", environ)
    except ConfigError as error:
        raise ConfigError(f"log.dirs is not set, and {error}") from None
    return os.path.join(data_home, "kbroker")


def _component(settings: Settings, kind: type[Component], **given: Any) -> Component:
    """Return a component whose fields are named like keys (dots as underscores), except those `given`."""
    names = [field.name for field in fields(kind) if field.name not in given]  # type: ignore[arg-type]
    return kind(**{name: settings.value(name.replace("_", ".")) for name in names}, **given)


def _integer(settings: Settings, name: str) -> int:
    value = settings.value(name)
    assert isinstance(value, int), name
    return value


def _text(settings: Settings, name: str) -> str:
    """Return a text value, empty when not set."""
    value = settings.value(name)
    return value if isinstance(value, str) else ""


def _elements(settings: Settings, name: str) -> tuple[str, ...]:
    """Return a list value, empty when not set; some lists are texts with commas in Kafka's table."""
    value = settings.value(name)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",")) if value.strip() else ()
    return value if isinstance(value, tuple) else ()


def _pools(settings: Settings, cores: int) -> PoolConfig:
    network, io = settings.value("num.network.threads"), settings.value("num.io.threads")
    return PoolConfig(
        num_network_threads=network if isinstance(network, int) else min(3, max(1, cores // 4)),
        num_io_threads=io if isinstance(io, int) else min(8, max(1, cores // 2)),
    )


def _queued_bytes(settings: Settings, network_threads: int, memory_limit: int | None) -> int:
    """Return queued.max.request.bytes of each network worker; -1: as much as its arena holds."""
    configured = _integer(settings, "queued.max.request.bytes")
    if configured >= 0 or memory_limit is None:
        return configured
    # What lies in arenas counts against the limit, and whoever passes it is killed.
    return memory_limit // (_SHARE_OF_REQUESTS * network_threads)


def _per_ip(settings: Settings) -> Mapping[str, int]:
    name = "max.connections.per.ip.overrides"
    limits: dict[str, int] = {}
    for entry in _elements(settings, name):
        address, colon, limit = entry.rpartition(":")
        if not colon or not address or not limit.isdecimal():
            raise settings.error(name, "expected address:number, separated by commas")
        limits[address.strip("[]")] = int(limit)
    return MappingProxyType(limits)


def _log_dirs(settings: Settings, environ: Mapping[str, str]) -> LogDirsConfig:
    setting, value = settings.find(BROKER_KEYS["log.dirs"])
    if setting is None or value is None:
        return LogDirsConfig((default_log_dir(environ),), is_default=True)
    # log.dir is a text that may itself be a list, as in Kafka.
    entries = value if isinstance(value, tuple) else tuple(part.strip() for part in str(value).split(","))
    if not entries or not all(entries):
        raise setting.error("expected directories separated by commas")
    directories = tuple(os.path.abspath(entry) for entry in entries)
    if len(set(directories)) < len(directories):
        raise setting.error("a directory is named twice")
    return LogDirsConfig(directories, is_default=False)


def _groups(settings: Settings, warnings: list[str]) -> Mapping[str, Value]:
    values: dict[str, Value] = {key.name.replace(".", "_"): settings.find(key)[1] for key in GROUP_KEYS}
    if _integer(settings, "group.min.session.timeout.ms") > _integer(settings, "group.max.session.timeout.ms"):
        raise settings.error("group.min.session.timeout.ms", "expected at most group.max.session.timeout.ms")
    if _integer(settings, "offsets.topic.replication.factor") > 1:
        # Kafka would refuse every group until more brokers come; here none can come.
        values["offsets_topic_replication_factor"] = 1
        warnings.append("offsets.topic.replication.factor: a single broker holds one replica; 1 is used")
    return MappingProxyType(values)


def _warn_of_shadowed(settings: Settings, warnings: list[str]) -> None:
    """Say when two names of one thing are set to different values: only the first counts."""
    pairs = [(name, *BROKER_KEYS[name].synonyms) for name in ("broker.id", "log.dirs")]
    pairs += [tuple(key.synonyms) for key in TOPIC_KEYS.values() if len(key.synonyms) > 1]
    pairs += [("listeners", "port"), ("listeners", "host.name")]
    pairs += [("advertised.listeners", "advertised.port"), ("advertised.listeners", "advertised.host.name")]
    for names in pairs:
        found = [settings.given[name] for name in names if name in settings.given]
        for other in found[1:]:
            if other.value != found[0].value:
                warnings.append(f"{other.place}: {other.name} does not count, because {found[0].name} is set")


def _listeners(settings: Settings) -> ListenerConfig:
    protocols = _parsed(settings, "listener.security.protocol.map", parse_protocol_map)
    skip = frozenset(name.upper() for name in _elements(settings, "controller.listener.names"))

    def parse(entries: Sequence[str], *, advertised: bool = False) -> tuple[Listener, ...]:
        return parse_listeners(entries, protocols, skip=skip, advertised=advertised)

    given = settings.given
    if "listeners" not in given and ("port" in given or "host.name" in given):
        listeners = parse([_endpoint(_text(settings, "host.name"), settings.value("port"))])
    else:
        listeners = _parsed(settings, "listeners", parse)
    names = {listener.name for listener in listeners}

    advertised: tuple[Listener, ...] | None = None
    if "advertised.listeners" in given:
        advertised = _parsed(settings, "advertised.listeners", lambda entries: parse(entries, advertised=True))
        for listener in advertised:
            if listener.name not in names:
                raise settings.error("advertised.listeners", f"{listener.name} is not among listeners")
    elif "advertised.host.name" in given or "advertised.port" in given:
        first = listeners[0]
        host = _text(settings, "advertised.host.name") or first.host
        entry = _endpoint(host, settings.value("advertised.port") or first.port, first.name)
        advertised = parse([entry], advertised=True)
    return ListenerConfig(listeners, advertised, _inter_broker(settings, listeners))


def _endpoint(host: str, port: Value, name: str = "PLAINTEXT") -> str:
    return f"{name}://{f'[{host}]' if ':' in host else host}:{_DEFAULT_PORT if port is None else port}"


def _parsed(settings: Settings, name: str, parse: Any) -> Any:
    """Return `parse` of a list value; a ConfigError gets the key's name, value and place."""
    try:
        return parse(_elements(settings, name))
    except ConfigError as error:
        raise settings.error(name, str(error)) from None


def _inter_broker(settings: Settings, listeners: Sequence[Listener]) -> str:
    name = _text(settings, "inter.broker.listener.name").upper()
    if name:
        if name not in {listener.name for listener in listeners}:
            raise settings.error("inter.broker.listener.name", "it is not among listeners")
        return name
    protocol = _text(settings, "security.inter.broker.protocol")
    for listener in listeners:
        if listener.security_protocol == protocol:
            return listener.name
    raise settings.error(
        "security.inter.broker.protocol", f"no listener speaks {protocol}; PLAINTEXT is in this version"
    )
