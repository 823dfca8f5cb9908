"""A Kafka-compatible broker for people who live in Python."""

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Return whether this installation holds the compiled modules (docs/decisions/0011)."""
    import importlib.util  # noqa: PLC0415 - each command pays for what stands at the top here

    spec = importlib.util.find_spec("kbroker.ipc.event_loop")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
