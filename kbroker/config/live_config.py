"""The broker's configuration as it is in force now, in one process: what the start gave it, and what was set since."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kbroker.config.broker_config import BrokerConfig

logger = logging.getLogger(__name__)

BrokerConfigs = Mapping[str, Mapping[str, str]]
"""What was set while the broker runs: by broker id as text, "" for all brokers."""


class LiveConfig:
    """
    Follows what the metadata say about brokers.

    start      what file and command line gave
    broker_id  this broker
    current    replaced as a whole when something is set
    """

    __slots__ = ("_configs", "_start", "broker_id", "current")

    def __init__(self, start: BrokerConfig, broker_id: int) -> None:
        self._start = start
        self.broker_id = broker_id
        self._configs: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
        self.current = start.with_dynamic({}, {})

    def follow(self, configs: BrokerConfigs) -> bool:
        """Take over what the metadata say; return whether anything changed for this broker."""
        mine = self.of(configs)
        if mine == self._configs:
            return False
        self._configs = mine
        self.current = self._start.with_dynamic(*mine)
        for warning in self.current.warnings:
            logger.warning("%s", warning)
        return True

    def of(self, configs: BrokerConfigs) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return what is set for all brokers, and for this one."""
        return configs.get("", {}), configs.get(str(self.broker_id), {})

    def with_configs(self, configs: BrokerConfigs) -> BrokerConfig:
        """Return the configuration as it would be with other settings."""
        return self._start.with_dynamic(*self.of(configs))
