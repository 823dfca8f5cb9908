"""The command `kbroker`: each subcommand's module is imported when it is used, no sooner."""

from __future__ import annotations

import importlib
import sys

import click

from kbroker import __version__, is_compiled
from kbroker.errors import KbrokerError

COMMANDS: dict[str, tuple[str, str]] = {
    "start": ("kbroker.cli.start", "Start a broker in the foreground."),
    "stop": ("kbroker.cli.stop", "Stop the broker of a data directory."),
    "status": ("kbroker.cli.status", "Show a running broker: workers, partitions, connections."),
    "topics": ("kbroker.cli.topics", "Create, list, describe, alter and delete topics."),
    "console-producer": ("kbroker.cli.console_producer", "Send lines of standard input as records."),
    "console-consumer": ("kbroker.cli.console_consumer", "Print records as lines."),
    "consumer-groups": ("kbroker.cli.consumer_groups", "List, describe and delete groups; reset their offsets."),
}
"""Command → module that holds it under the name `command`, and one line of help."""


class _LazyGroup(click.Group):
    """A group that finds its commands in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    click.echo(f"kbroker {__version__}" + (" (compiled)" if is_compiled() else ""))
    context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Run a Kafka-compatible message broker, and talk to it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; never returns: exits with what the command says, 1 for every error as Kafka's tools do."""
    code: object = 1
    try:
        code = cli.main(arguments, prog_name="kbroker", standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except click.Abort:
        click.echo("", err=True)
    except KbrokerError as error:
        click.echo(f"kbroker: {error}", err=True)
    except Exception as error:
        # Only a tool that has imported the client library can have met one of its errors.
        library = sys.modules.get("confluent_kafka")
        if library is None or not isinstance(error, library.KafkaException):
            raise
        click.echo(f"kbroker: {error.args[0].str()}", err=True)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
