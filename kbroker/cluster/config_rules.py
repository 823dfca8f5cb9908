"""What may be set on topics, brokers, groups and subscriptions to clients' metrics; Kafka's rules and codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from kbroker.config.client_metrics_keys import CLIENT_METRICS_KEYS, RequestRefused, check_client_metrics_config
from kbroker.config.group_keys import GROUP_CONFIG_KEYS, check_group_config
from kbroker.config.key import Key, Update, Value, text_of
from kbroker.config.keys import BROKER_KEYS, RUNNING_KEYS
from kbroker.config.live_config import BrokerConfigs, LiveConfig
from kbroker.config.settings import CLUSTER_KEY
from kbroker.config.topic_config import topic_config
from kbroker.errors import ConfigError, KafkaError
from kbroker.logging_setup import in_one_line
from kbroker.metadata.image import ConfigKind
from kbroker.protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)

KEYS: Mapping[ConfigKind, Mapping[str, Key]] = {
    ConfigKind.BROKER: {**BROKER_KEYS, **RUNNING_KEYS},
    ConfigKind.GROUP: GROUP_CONFIG_KEYS,
    ConfigKind.CLIENT_METRICS: CLIENT_METRICS_KEYS,
}
"""The keys of each kind by name."""

_THREADS = frozenset(
    {"background.threads", "log.cleaner.threads", "num.recovery.threads.per.data.dir", "num.replica.fetchers"}
)
_LISTENER_PREFIX = "listener.name."


class ConfigRules:
    """
    Judges configurations by what is in force.

    live  the broker's configuration
    """

    def __init__(self, live: LiveConfig) -> None:
        self._live = live

    @property
    def unclean_leader_election_enable(self) -> bool:
        """Return whether a replica may lead that may miss records, where a topic does not say."""
        return bool(self._live.current.settings.value("unclean.leader.election.enable"))

    def follow(self, configs: BrokerConfigs) -> None:
        """Take over what was set on brokers."""
        self._live.follow(configs)

    def check_topic(self, configs: Mapping[str, str]) -> None:
        """Judge a topic's settings. Raises INVALID_CONFIG."""
        try:
            topic_config(self._live.current.topic_defaults, configs)
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from error

    def check_group(self, configs: Mapping[str, str]) -> None:
        """Judge a group's settings. Raises INVALID_CONFIG."""
        try:
            check_group_config(self._live.current.settings, configs)
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from error

    def check_client_metrics(self, configs: Mapping[str, str]) -> None:
        """Judge a subscription. Raises INVALID_CONFIG, INVALID_REQUEST."""
        try:
            check_client_metrics_config(configs)
        except RequestRefused as error:
            raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from error
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from error

    def check_broker(self, broker: str, configs: Mapping[str, str], before: Mapping[str, str]) -> None:
        """
        Judge what is set on a broker while it runs.

        broker   its id as text, "" for all brokers
        configs  what shall be set
        before   what is set; it is not judged again

        Raises INVALID_REQUEST, as Kafka does for brokers; INVALID_CONFIG for min.insync.replicas, which is the whole
        cluster's (KIP-966).
        """
        new = {name: text for name, text in configs.items() if before.get(name) != text}
        self._check_names(broker, new)
        for name, text in new.items():
            key = KEYS[ConfigKind.BROKER].get(name)
            if key is None:
                # A plug-in of Kafka's might know it, so Kafka takes every name; it is a slip more often than not.
                logger.warning(
                    "Broker configuration: %s is no key of a broker; it is kept, and does nothing", in_one_line(name)
                )
                continue
            try:
                self._check_threads(name, key.parse(text))
            except ConfigError as error:
                raise KafkaError(
                    ErrorCode.INVALID_REQUEST, f"Invalid value {text} for configuration {name}: {error}"
                ) from error
            if key.no_effect:
                logger.warning("Broker configuration: %s has no effect: %s", name, key.no_effect)
        if broker and CLUSTER_KEY in new:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"{CLUSTER_KEY} cannot be set on broker {broker}: it is one value for all brokers.",
            )
        try:
            topic_config(self._live.with_configs({broker: {**before, **configs}}).topic_defaults, {})
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from error

    def _check_names(self, broker: str, new: Mapping[str, str]) -> None:
        keys = {name: BROKER_KEYS[name] for name in sorted(new) if name in BROKER_KEYS}
        fixed = [name for name, key in keys.items() if key.update is Update.READ_ONLY]
        if fixed:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "Cannot update these configs dynamically: "
                + _listed(fixed)
                + "; they are taken from server.properties when "
                "the broker starts.",
            )
        single = [name for name, key in keys.items() if key.update is Update.PER_BROKER]
        if single and not broker:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "Cannot update these configs at default cluster level, broker id must be specified: " + _listed(single),
            )
        for name, key in keys.items():
            if key.fixed:
                raise KafkaError(ErrorCode.INVALID_REQUEST, f"Cannot update {name} dynamically: {key.fixed}.")
        for name in new:
            if name.startswith(_LISTENER_PREFIX):
                raise KafkaError(
                    ErrorCode.INVALID_REQUEST,
                    f"Cannot update {name} dynamically: settings of single listeners are not in this version.",
                )

    def _check_threads(self, name: str, value: Value) -> None:
        """Raise ConfigError for a pool that would more than double, or shrink to less than half, at once."""
        if name not in _THREADS:
            return
        setting, current = self._live.current.settings.find(BROKER_KEYS[name])
        now = int(BROKER_KEYS[name].kafka_default or str(current)) if setting is None else current
        assert isinstance(now, int), name
        assert isinstance(value, int), name
        if not max(1, now // 2) <= value <= now * 2:
            raise ConfigError(f"expected at least half and at most double of the current value {now}")

    def cluster_value(self) -> str:
        """Return min.insync.replicas of the cluster while nobody has set it: that of this broker's file."""
        return text_of(self._live.with_configs({}).settings.value(CLUSTER_KEY)) or ""


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"
