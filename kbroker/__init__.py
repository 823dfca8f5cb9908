"""A Kafka-compatible broker for people who live in Python."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - pip refuses an older one, a clone or a path does not
    _sentence = f"kbroker needs Python 3.11 or newer; this is Python {sys.version.split()[0]} ({sys.executable})"
    # "-m" stands there while `python -m kbroker` looks for the package: who types a command needs no traceback.
    raise SystemExit(_sentence) if sys.argv[:1] == ["-m"] else ImportError(_sentence)

__version__ = "0.2.0"


def is_compiled() -> bool:
    """Return whether this installation holds the compiled modules (docs/decisions/0011)."""
    import importlib.util  # noqa: PLC0415 - each command pays for what stands at the top here

    spec = importlib.util.find_spec("kbroker.ipc.event_loop")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
