"""
The build backend: setuptools, plus the decision whether to compile.

A wheel is compiled where a C compiler and Python's headers are at hand, and made of Python alone elsewhere: kbroker
runs either way, the compiled one faster (docs/decisions/0011). An editable installation, as for development, is never
compiled. KBROKER_COMPILE=1 insists on compiling, KBROKER_COMPILE=0 forbids it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401 - the hooks that stay as they are
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

if sys.version_info < (3, 11):  # noqa: UP036 - pip comes here before it looks at requires-python
    sys.exit(f"kbroker needs Python 3.11 or newer; this is Python {sys.version.split()[0]} ({sys.executable})")

COMPILER = "mypy[mypyc]==2.4.1"
VARIABLE = "KBROKER_COMPILE"
DECIDED = "KBROKER_BUILD_COMPILED"
"""Tells setup.py, which also runs before the compiler is there."""


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what must be there before `build_wheel`."""
    required = build_meta.get_requires_for_build_wheel(config_settings)
    return [*required, COMPILER] if _compiles() else required


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel; return its name."""
    os.environ[DECIDED] = "1" if _compiles() else "0"
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """
    Build what an editable installation needs; return its name.

    The source directory comes onto the path by one line of text. setuptools' other way, a finder, imports as much at
    each start of the interpreter as a whole command of ours needs; Ctrl-C within that is a traceback nobody can catch.
    """
    settings = {"editable_mode": "compat", **(config_settings or {})}
    with warnings.catch_warnings():
        # A screenful about that way's future, which newer pips show to everybody who installs a clone.
        warnings.filterwarnings("ignore", "Compat editable installs")
        return build_meta.build_editable(wheel_directory, settings, metadata_directory)


def _compiles() -> bool:
    wanted = os.environ.get(VARIABLE, "")
    if wanted in ("0", "1"):
        return wanted == "1"
    return _has_compiler()


def _has_compiler() -> bool:
    """Return whether a file that includes Python.h compiles."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text("#include <Python.h>\n")
        include = sysconfig.get_paths()["include"]
        try:
            done = subprocess.run(
                [*compiler, f"-I{include}", "-c", str(source), "-o", str(source.with_suffix(".o"))],
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
    return done.returncode == 0
