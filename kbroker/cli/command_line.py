"""
From arguments to an exit code: commands found by name, errors told in one line.

What a command raises on purpose (KbrokerError, click's errors) and what the machine refuses (OSError, bytes that are no
text) is one line on standard error and exit code 1, as with Kafka's tools; all else is a bug and shows its traceback.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from kbroker import __version__, is_compiled
from kbroker.cli.command_error import EndAtOnce
from kbroker.cli.standard_streams import OutputFailed, open_standard_streams
from kbroker.errors import KbrokerError

Commands = Mapping[str, tuple[str, str]]

INTERRUPTED = 130
"""Exit code of a shell for what Ctrl-C has ended."""

_EPILOG = """\b
Examples:
  kbroker start
  kbroker topics --create --topic test --partitions 3
  echo hello | kbroker console-producer --topic test
  kbroker console-consumer --topic test --from-beginning"""

_OTHER_NAMES = {
    "server-start": "start",
    "server-stop": "stop",
    "run": "start",
    "serve": "start",
    "produce": "console-producer",
    "consume": "console-consumer",
}
"""What people type who know other tools → the command they mean."""


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used, no sooner."""

    def __init__(self, modules: Commands) -> None:
        """
        Hold commands.

        modules  command → module that holds it under the name `command`, and one line of help
        """
        super().__init__(
            "kbroker",
            help="Run a Kafka-compatible message broker, and talk to it.",
            epilog=_EPILOG,
            context_settings={"help_option_names": ["-h", "--help"]},
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    expose_value=False,
                    is_eager=True,
                    callback=_print_version,
                    help="Show the version.",
                )
            ],
        )
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands, in the order of the table."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; raises click.UsageError that names what comes near for a name that is none."""
        if cmd_name not in self._modules:
            if ctx.resilient_parsing:
                return None
            raise click.UsageError(f"No such command '{cmd_name}'.{self._meant(cmd_name)}", ctx)
        command: click.Command = importlib.import_module(self._modules[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command's name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else _with_two_dashes(command, rest)

    def _meant(self, name: str) -> str:
        """Return a sentence with the commands that a name comes near; empty when it comes near none."""
        import difflib  # noqa: PLC0415 - for mistakes only

        plain = name.lower().replace("_", "-").removesuffix(".sh").removeprefix("kafka-")
        plain = _OTHER_NAMES.get(plain, plain)
        near = [plain] if plain in self._modules else difflib.get_close_matches(plain, self._modules)
        near = near or [one for one in self._modules if plain in one]
        return f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands for --help, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])


def _with_two_dashes(command: click.Command, arguments: list[str]) -> list[str]:
    """Return the arguments with `-topic` as `--topic`: Kafka's tools take both."""
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    result = []
    for argument in arguments:
        one_dash = argument.startswith("-") and not argument.startswith("--")
        result.append(f"-{argument}" if one_dash and f"-{argument.partition('=')[0]}" in known else argument)
    return result


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    click.echo(f"kbroker {__version__}" + (" (compiled)" if is_compiled() else ""))
    context.exit()


def run_command_line(modules: Commands, arguments: Sequence[str]) -> NoReturn:
    """
    Run one command and exit with its code.

    modules    as LazyGroup holds them
    arguments  without the program's name
    """
    open_standard_streams()
    code, at_once = _code_of(modules, arguments)
    try:
        sys.stdout.flush()
    except OutputFailed as error:
        code = _tell_output_failed(error) or code
    if at_once:
        os._exit(code)
    # The interpreter takes a moment to end; Ctrl-C within it would be told as an error of its clean-up.
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _code_of(modules: Commands, arguments: Sequence[str]) -> tuple[int, bool]:
    """Return the exit code of a command, and whether to end at once."""
    try:
        return _run(modules, arguments), False
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0, isinstance(error, EndAtOnce)


def _run(modules: Commands, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code, or raise SystemExit with it; every error that is not a bug is told."""
    try:
        code = LazyGroup(modules).main(list(arguments), prog_name="kbroker", standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OutputFailed as error:
        return _tell_output_failed(error)
    except KbrokerError as error:
        _tell(str(error))
    except UnicodeError as error:
        _tell(f"{getattr(error, 'object', b'')[:60]!a} is no UTF-8 text")
    except OSError as error:
        where = f": {error.filename}" if error.filename is not None else ""
        _tell(f"{error.strerror or error}{where}")
    except Exception as error:
        # Only a tool that has imported the client library can have met one of its errors.
        library = sys.modules.get("confluent_kafka")
        if library is None or not isinstance(error, library.KafkaException):
            raise
        _tell(error.args[0].str())
    else:
        return code if isinstance(code, int) else 0
    return 1


def _tell(text: str) -> None:
    line = f"kbroker: {text}"
    if "JOURNAL_STREAM" in os.environ:
        from kbroker.logging_setup import for_standard_error  # noqa: PLC0415 - under systemd only

        line = for_standard_error(line)
    click.echo(line, err=True)


def _tell_output_failed(error: OutputFailed) -> int:
    """Say that standard output takes no more, and return the exit code; a reader that has read enough is no error."""
    if error.errno == errno.EPIPE:
        return 0
    _tell(str(error))
    return 1
