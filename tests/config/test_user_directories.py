"""A user's directories are found whatever the environment has lost."""

from __future__ import annotations

import os
import pwd

import pytest

from kbroker.config.broker_config import load_config
from kbroker.config.user_directories import user_directory
from kbroker.errors import ConfigError


def _nobody(_: int) -> pwd.struct_passwd:
    raise KeyError


def test_an_absolute_directory_of_the_environment_is_taken_and_a_relative_one_ignored() -> None:
    assert user_directory("XDG_DATA_HOME", ".local/share", {"XDG_DATA_HOME": "/data", "HOME": "/home/me"}) == "/data"
    assert user_directory("XDG_DATA_HOME", ".local/share", {"XDG_DATA_HOME": "data", "HOME": "/home/me"}) == (
        "/home/me/.local/share"
    )


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_without_home_the_user_database_tells_it(environ: dict[str, str]) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert user_directory("XDG_CONFIG_HOME", ".config", environ) == os.path.join(home, ".config")


def test_a_user_without_a_home_is_told_what_to_set_and_no_directory_called_tilde_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", _nobody)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(ConfigError) as refused:
        load_config(None, (), {})
    assert str(refused.value) == "log.dirs is not set, and user 4711 has no home directory: set HOME or XDG_DATA_HOME"
    assert load_config(None, ("log.dirs=/data",), {}).log_dirs.directories == ("/data",)
    assert load_config(None, (), {"XDG_DATA_HOME": "/data"}).log_dirs.directories == ("/data/kbroker",)
