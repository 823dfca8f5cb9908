"""The log directories as clients are told them, and which have failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kbroker.config.settings import readable


@dataclass(frozen=True, slots=True)
class LogDirectories:
    """
    The directories of log.dirs.

    paths            in the order that rows count them
    failed_at_start  those that could not be used when the broker started
    offline          returns those that have failed since, bit by bit in the order of paths
    """

    paths: Sequence[str]
    failed_at_start: Collection[str] = ()
    offline: Callable[[], int] = lambda: 0

    def names(self) -> list[str]:
        """Return what clients call them."""
        return [readable(path) for path in self.paths]

    def failed(self) -> frozenset[int]:
        """Return the numbers of those that cannot be used."""
        offline = self.offline()
        return frozenset(
            number for number, path in enumerate(self.paths) if offline >> number & 1 or path in self.failed_at_start
        )
