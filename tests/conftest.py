"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# How long an example takes says something of the neighbours on this machine, not of what is tested.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

# A shell that starts the tests in the background has Ctrl-C ignored, here and in every process that is started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
