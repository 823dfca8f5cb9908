"""Where a user's files lie: the XDG base directories, for every process that may have lost its environment."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from kbroker.errors import ConfigError


def user_directory(variable: str, below_home: str, environ: Mapping[str, str]) -> str:
    """
    Return the user's directory for one kind of files.

    variable    XDG_DATA_HOME or XDG_CONFIG_HOME; a relative path in it is ignored, as the specification wants it
    below_home  where they lie when it is not set
    environ     the environment; without a HOME in it the user database tells it

    Raises ConfigError when there is no home directory, as for a user id of a container that nobody has named.
    """
    given = environ.get(variable, "")
    return given if os.path.isabs(given) else os.path.join(_home(variable, environ), below_home)


def _home(variable: str, environ: Mapping[str, str]) -> str:
    """Return HOME; not by expanduser, which makes an empty one `/`, and an unknown user's a directory called `~`."""
    if home := environ.get("HOME"):
        return home
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise ConfigError(f"user {os.getuid()} has no home directory: set HOME or {variable}") from None
