"""`kbroker start`: read the configuration, set up the log, run the broker."""

from __future__ import annotations

import gc
import logging
import sys

import click

from kbroker.config.broker_config import BrokerConfig, load_config
from kbroker.errors import StartupError
from kbroker.logging_setup import LEVELS, set_up_logging
from kbroker.supervisor.signals import SignalPipe

_log = logging.getLogger(__name__)


_EPILOG = """\b
Examples:
  kbroker start
  kbroker start config/server.properties
  kbroker start --override listeners=PLAINTEXT://0.0.0.0:9092 --override log.dirs=/var/lib/kbroker"""


@click.command(epilog=_EPILOG)
@click.argument("properties", required=False, metavar="[server.properties]")
@click.option(
    "--override", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a key; wins over the file. Repeatable."
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    metavar="LEVEL",
    help="DEBUG, INFO (default), WARN or ERROR; also by KBROKER_LOG_LEVEL.",
)
def command(properties: str | None, overrides: tuple[str, ...], log_level: str | None) -> None:
    """
    Start a broker in the foreground.

    Without a file it listens on localhost:9092 and keeps its data in ${XDG_DATA_HOME:-~/.local/share}/kbroker.
    SIGTERM, SIGINT or `kbroker stop` stop it in order, and so does closing its terminal; SIGUSR1 logs its state.
    """
    require_linux()
    config = load_config(properties, overrides)
    set_up_logging(log_level)
    for warning in config.warnings:
        _log.warning("%s", warning)
    for setting in config.settings.given.values():
        _log.debug("Configuration from %s", setting)
    sys.exit(run(config))


def require_linux() -> None:
    """Raise StartupError where a broker cannot run; the other commands run there too."""
    if sys.platform != "linux":
        raise StartupError(
            f"a broker runs on Linux only, and this is {sys.platform}: it is built on epoll and eventfd. "
            "The other commands work here, with --bootstrap-server"
        )


def run(config: BrokerConfig) -> int:
    """Run a broker until it stops; return the exit code."""
    # Before the layers load: process 1 of a container never gets a signal that it has no handler for yet.
    signals = SignalPipe()
    signals.open()
    # Loading the layers makes many objects that stay: looking through them again and again takes a tenth of a start.
    gc.disable()
    from kbroker.cli.broker_process import run_broker  # noqa: PLC0415 - a bad configuration is told before all layers load

    return run_broker(config, signals)
