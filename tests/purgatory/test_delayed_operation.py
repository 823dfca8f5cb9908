"""An operation completes once, whoever asks."""

from __future__ import annotations

from kbroker.purgatory.delayed_operation import DelayedOperation


class Counting(DelayedOperation):
    """Counts its completions."""

    __slots__ = ("completions",)

    def __init__(self) -> None:
        super().__init__(0)
        self.completions = 0

    def try_complete(self) -> bool:
        return self.force_complete()

    def on_complete(self) -> None:
        self.completions += 1


def test_completion_happens_once() -> None:
    """The second attempt is told that it came too late; expiring needs no override."""
    operation = Counting()
    assert operation.try_complete()
    assert not operation.force_complete()
    operation.on_expire()
    assert operation.completions == 1
