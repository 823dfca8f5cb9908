"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says something of the neighbours on this machine, not of what is tested.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
