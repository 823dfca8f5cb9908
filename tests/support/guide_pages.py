"""A page of the guide as something to run: files it shows, commands it shows, and what it says they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"^# ([\w.-]+\.\w+)\n")


@dataclass
class ShownFile:
    """A block whose first line is a comment with a file's name."""

    name: str
    text: str


@dataclass
class ShownCommand:
    """A line of a console block after `$ `, with what follows it up to the next one; `...` stands for anything."""

    line: str
    output: list[str] = field(default_factory=list)

    def matches(self, printed: str) -> bool:
        """Return whether the command printed what the page says."""
        pattern = re.escape("\n".join(self.output).strip()).replace(re.escape("..."), ".*")
        return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def steps(page: Path) -> Iterator[ShownFile | ShownCommand]:
    """Yield the files and commands of a page in their order."""
    for language, text in _FENCE.findall(page.read_text()):
        named = _FILE_NAME.match(text)
        if named:
            yield ShownFile(named[1], text)
        elif language == "console":
            command: ShownCommand | None = None
            for line in text.splitlines():
                if line.startswith("$ "):
                    if command:
                        yield command
                    command = ShownCommand(line[2:])
                elif command:
                    command.output.append(line)
            if command:
                yield command
