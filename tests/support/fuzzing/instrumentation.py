"""Makes coverage visible to atheris. Imports nothing of kbroker itself, so that it comes first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


def instrument() -> None:
    """
    Have atheris see the branches taken in the readers; to be called before they are imported.

    Decoders are generated and compiled when first used: the compiler is wrapped too.
    """
    import atheris

    # It names each module on standard error.
    with (
        Path(os.devnull).open("w") as silence,
        contextlib.redirect_stderr(silence),
        atheris.instrument_imports(include=["kbroker"]),
    ):
        import fuzzing.targets  # noqa: F401
        from kbroker.protocol import code_generator

    def compile_watched(text: str, filename: str, mode: str) -> Any:
        code = compile(text, filename, mode)
        return atheris.patch_code(code, False, nested=True) if filename.startswith("<decode") else code

    code_generator.compile = compile_watched  # type: ignore[attr-defined]
