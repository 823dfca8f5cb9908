"""How the documentation becomes a site: Sphinx reads the Markdown (docs/decisions/0029). Built by scripts/docs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_METADATA = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]

project = "kbroker"
author = "the kbroker developers"
release = version = _METADATA["version"]
project_copyright = "the kbroker developers; Apache License 2.0"

extensions = ["myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Headings can be linked to from elsewhere, and a link that leads nowhere is a warning, which ends the build.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
nitpicky = True

html_theme = "furo"
html_title = f"kbroker {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False
# What is copied from a block of commands are the commands.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"


def _list_decisions(_app: object, document: str, source: list[str]) -> None:
    """Give the page that lists the decisions a list of contents; in the clone its links are one already."""
    if document == "decisions/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def setup(app: Any) -> None:
    """Add what Sphinx does not do by itself."""
    app.connect("source-read", _list_decisions)
