"""How commands end."""

from __future__ import annotations

from kbroker.errors import KbrokerError


class CommandError(KbrokerError):
    """A tool cannot do what it was asked; the message is one line for the user."""


class EndAtOnce(SystemExit):
    """The process is to end without the interpreter's clean-up, which would wait for threads that hang."""


class BrokerRefused(CommandError):
    """
    The broker has answered with an error.

    code  Kafka's, one of kbroker.protocol.error_codes.ErrorCode
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
