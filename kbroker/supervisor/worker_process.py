"""One worker as its supervisor sees it: the fork, the failures, the back-off."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable

from kbroker.errors import NoLogDirectory, StartupError
from kbroker.logging_setup import for_standard_error

EXIT_CANNOT_START = 78
"""A worker's exit code when trying again cannot help (EX_CONFIG): the broker stops."""
EXIT_NO_LOG_DIRECTORY = 74
"""A worker's exit code when no log directory is left (EX_IOERR): the broker stops (KIP-112)."""

_PR_SET_PDEATHSIG = 1
_FAILURE_WINDOW_MS = 60_000
_MAX_FAILURES = 8
_FIRST_DELAY_MS = 50
_MAX_DELAY_MS = 5_000


class WorkerProcess:
    """
    A worker that is forked, and forked anew when it ends.

    number  its place in the worker table
    name    as in logs: net-0
    main    runs the worker; called in the child
    """

    __slots__ = ("_failures", "main", "name", "number", "pid", "start_at_ms")

    def __init__(self, number: int, name: str, main: Callable[[], None]) -> None:
        self.number = number
        self.name = name
        self.main = main
        self.pid = 0
        self.start_at_ms = 0
        """When to fork it again; meaningful while pid is 0."""
        self._failures: deque[int] = deque()

    def fork(self, in_child: Callable[[], None]) -> None:
        """
        Start the worker; `in_child` undoes what belongs to the supervisor alone.

        The child dies with the supervisor, however that ends.
        """
        parent = os.getpid()
        # What is buffered would be written by both processes.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self.pid = pid
            return
        status = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                in_child()
                self.main()
                status = 0
        except StartupError as error:
            _tell(f"kbroker: {error}")
            status = EXIT_CANNOT_START
        except NoLogDirectory as error:
            _tell(f"kbroker: {self.name}: {error}")
            status = EXIT_NO_LOG_DIRECTORY
        except SystemExit as reason:
            _tell(f"kbroker: {self.name}: {reason}")
        except BaseException:
            _tell(traceback.format_exc().rstrip())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Not sys.exit: the supervisor's atexit handlers and open files are not the child's.
            os._exit(status)

    def failed(self, now_ms: int) -> bool:
        """
        Note that the worker ended unasked; return False when it has done so too often to go on.

        Sets start_at_ms: at once after the first failure, then doubling up to 5 s.
        """
        self.pid = 0
        failures = self._failures
        while failures and now_ms - failures[0] > _FAILURE_WINDOW_MS:
            failures.popleft()
        failures.append(now_ms)
        earlier = len(failures) - 1
        delay_ms = 0 if earlier == 0 else min(_MAX_DELAY_MS, _FIRST_DELAY_MS << (earlier - 1))
        self.start_at_ms = now_ms + delay_ms
        return len(failures) <= _MAX_FAILURES


def _tell(text: str) -> None:
    sys.stderr.write(for_standard_error(text) + "\n")
