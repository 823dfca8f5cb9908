"""Which names a topic may have."""

from __future__ import annotations

import re

_LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_legal_topic_name(name: str) -> bool:
    """
    Return whether a topic may be called that.

    The limit keeps the directory's name within 255 bytes; `__cluster_metadata` is the name of KRaft's own log.
    """
    return _LEGAL.fullmatch(name) is not None and name not in {".", "..", "__cluster_metadata"}
