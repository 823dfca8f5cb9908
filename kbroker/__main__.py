"""
The command `kbroker`: which commands there are, and an entry that is ready for Ctrl-C before anything heavy loads.

Of the standard library only what the interpreter has loaded anyway is imported here: `signal` and `typing` would take
longer than all of its own start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed knows `signal` only
import os
import sys

COMMANDS: dict[str, tuple[str, str]] = {
    "start": ("kbroker.cli.start", "Start a broker in the foreground."),
    "stop": ("kbroker.cli.stop", "Stop the broker of a data directory."),
    "status": ("kbroker.cli.status", "Show a running broker: workers, partitions, connections."),
    "systemd-unit": ("kbroker.cli.systemd_unit", "Print or install a systemd unit for a broker."),
    "topics": ("kbroker.cli.topics", "Create, list, describe, alter and delete topics."),
    "console-producer": ("kbroker.cli.console_producer", "Send lines of standard input as records."),
    "console-consumer": ("kbroker.cli.console_consumer", "Print records as lines."),
    "consumer-groups": ("kbroker.cli.consumer_groups", "List, describe and delete groups; reset their offsets."),
}
"""Command → module that holds it under the name `command`, and one line of help."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; never returns: exits with what the command says, 1 for every error as Kafka's tools do."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Not KeyboardInterrupt: raised within an import's own clean-up it is printed with a traceback and forgotten.
        _signal.signal(_signal.SIGINT, _end_at_once)
    if os.getpid() == 1:
        # The system ends process 1 of a container by no signal that it has no handler for: `docker stop` would wait.
        for number in (_signal.SIGTERM, _signal.SIGHUP):
            if _signal.getsignal(number) is _signal.SIG_DFL:
                _signal.signal(number, _end_at_once)
    from kbroker.cli.command_line import run_command_line  # noqa: PLC0415 - nothing heavy before this line

    run_command_line(COMMANDS, sys.argv[1:] if arguments is None else arguments)


def _end_at_once(number: int, _frame: object) -> None:
    """End with the exit code that a shell gives to a signal; commands with something to finish set their own."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
