"""Adds the compiled modules to what pyproject.toml says, when packaging/backend.py has decided for them."""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup


def compiled_modules() -> list[object]:
    """Return the extension modules that mypyc makes of the hot path."""
    if os.environ.get("KBROKER_BUILD_COMPILED") != "1":
        return []
    # Not at the top: an older Python is to get as far as being told which one is wanted.
    import tomllib  # noqa: PLC0415

    from mypyc.build import mypycify  # noqa: PLC0415 - only there for a compiled wheel

    modules = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["kbroker"]["compiled-modules"]
    paths = [name.replace(".", "/") + ".py" for name in modules]
    # What the modules import need not be installed where a wheel is built.
    options = ["--config-file=", "--python-version=3.11", "--ignore-missing-imports", "--follow-imports=silent"]
    return list(mypycify([*options, *paths], opt_level="2", debug_level="0"))


setup(ext_modules=compiled_modules())
