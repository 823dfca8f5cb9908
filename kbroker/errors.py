"""
The errors of kbroker.

    KbrokerError
    ├── KafkaError            has a wire code; answered in the field made for it, per partition
    ├── MalformedMessage      bytes that are no Kafka message: the connection is closed
    ├── ConfigError           a bad key or value: names key, value, file and line
    ├── StartupError          the broker cannot start: names the thing and the fix
    ├── CorruptIndex          an index file that must be rebuilt
    ├── LogDirFailed          the disk under a log directory failed: that directory goes offline
    └── NoLogDirectory        the last log directory has failed: the broker ends

The wire codes themselves are in kbroker.protocol.error_codes.
"""

from __future__ import annotations

_LONGEST_MESSAGE = 4_000
"""Letters, of up to four bytes each."""


def bounded_message(message: str) -> str:
    """
    Return a message for a client, cut when it is too long to be carried.

    A name that it repeats may be as long as the protocol allows any text to be.
    """
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"


class KbrokerError(Exception):
    """Everything kbroker raises on purpose."""


class KafkaError(KbrokerError):
    """
    An error that a client is told by its Kafka code.

    code     the wire code, one of kbroker.protocol.error_codes.ErrorCode
    message  what a person should read, of which so much is kept as a client can read; empty means the code's own text
    """

    def __init__(self, code: int, message: str = "") -> None:
        message = bounded_message(message)
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return the message, or the number when there is none."""
        return self.message or f"Kafka error {self.code}"


class MalformedMessage(KbrokerError):
    """Bytes that do not follow the protocol; the peer cannot be understood any further."""


class ConfigError(KbrokerError):
    """A configuration that cannot be used; the message names key, value, place and fix."""


class StartupError(KbrokerError):
    """The broker cannot start; the message names what is in the way and the fix."""


class CorruptIndex(KbrokerError):
    """An index file contradicts itself or its log; it is rebuilt from the log."""


class NoLogDirectory(KbrokerError):
    """No log directory is left: a broker that can store nothing ends, so that whatever supervises it can act."""


class LogDirFailed(KbrokerError):
    """An input/output error under a log directory; its partitions go offline, the others serve."""

    def __init__(self, directory: str, cause: OSError) -> None:
        super().__init__(f"{directory}: {cause}")
        self.directory = directory
        self.cause = cause
