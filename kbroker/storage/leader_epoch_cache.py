"""
At which offset each leader epoch of a partition began: `leader-epoch-checkpoint`.

    "0"              version
    "<count>"
    "<epoch> <start offset>" per epoch; both strictly ascending

Followers and consumers ask where an epoch ended, to find out where their history parted from the leader's.
"""

from __future__ import annotations

from itertools import pairwise

from kbroker.storage.checkpoints import replace_file
from kbroker.storage.paths import LEADER_EPOCH_CHECKPOINT

UNDEFINED = -1


def read_leader_epochs(directory: str) -> list[tuple[int, int]] | None:
    """
    Return the (epoch, start offset) pairs of a partition's directory; None when the file is missing or damaged.

    Raises OSError.
    """
    try:
        with open(f"{directory}/{LEADER_EPOCH_CHECKPOINT}", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    try:
        entries = [(int(epoch), int(start)) for epoch, start in (line.split() for line in lines[2:] if line)]
        if int(lines[0]) != 0 or int(lines[1]) != len(entries):
            return None
        ascending = all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(entries))
        if not ascending or (entries and min(entries[0]) < 0):
            return None
    except (ValueError, IndexError):
        return None
    return entries


def end_offset_for(entries: list[tuple[int, int]], requested_epoch: int, log_end_offset: int) -> tuple[int, int]:
    """
    Return (epoch, end offset): the largest epoch not above the requested one, and where it ended.

    The current epoch ends at the log's end. (-1, -1) when nothing is known of the requested epoch, because it is
    newer than all, undefined, or no epoch was ever recorded.
    """
    if requested_epoch == UNDEFINED or not entries:
        return UNDEFINED, UNDEFINED
    if requested_epoch == entries[-1][0]:
        return requested_epoch, log_end_offset
    found = UNDEFINED
    for epoch, start in entries:
        if epoch > requested_epoch:
            # Older than all we know: that epoch ended, at the latest, where the first known one began.
            return (requested_epoch if found == UNDEFINED else found), start
        found = epoch
    return UNDEFINED, UNDEFINED


class LeaderEpochCache:
    """The leader epochs of one log; the owner's view, kept in memory and written through."""

    __slots__ = ("_directory", "damaged", "entries", "latest_epoch")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.entries: list[tuple[int, int]] = []
        self.latest_epoch = UNDEFINED
        self.damaged = False
        """Whether the file could not be read and the epochs must be found again in the log."""

    def load(self) -> None:
        """Read the file. Raises OSError."""
        entries = read_leader_epochs(self._directory)
        self.damaged = entries is None
        self._set(entries or [])

    def assign(self, epoch: int, start_offset: int) -> None:
        """
        Note that `epoch` begins at `start_offset`; nothing happens when it is known already.

        Entries that contradict it (later offsets, larger epochs) were of leaders who never were. Raises OSError.
        """
        if epoch < 0 or epoch == self.latest_epoch:
            return
        entries = [entry for entry in self.entries if entry[0] < epoch and entry[1] < start_offset]
        entries.append((epoch, start_offset))
        self._set(entries)
        self.write()

    def assign_all(self, found: list[tuple[int, int]]) -> None:
        """Note several epochs met in the log, oldest first, and write the file once. Raises OSError."""
        before = list(self.entries)
        for epoch, start_offset in found:
            if epoch > self.latest_epoch:
                self._set([*(entry for entry in self.entries if entry[1] < start_offset), (epoch, start_offset)])
        if self.entries != before:
            self.write()

    def truncate_from_end(self, end_offset: int) -> None:
        """Forget epochs that began at or after `end_offset`. Raises OSError."""
        kept = [entry for entry in self.entries if entry[1] < end_offset]
        if len(kept) != len(self.entries):
            self._set(kept)
            self.write()

    def truncate_in_memory(self, end_offset: int) -> None:
        """Forget epochs that began at or after `end_offset`; leave the file, which the disk has just refused."""
        kept = [entry for entry in self.entries if entry[1] < end_offset]
        if len(kept) != len(self.entries):
            self._set(kept)

    def truncate_from_start(self, start_offset: int) -> None:
        """Forget epochs that ended before `start_offset`; the one in force there now begins there. Raises OSError."""
        if not self.entries or self.entries[0][1] >= start_offset:
            return
        later = [entry for entry in self.entries if entry[1] > start_offset]
        earlier = [entry for entry in self.entries if entry[1] <= start_offset]
        self._set([(earlier[-1][0], start_offset), *later])
        self.write()

    def replace(self, entries: list[tuple[int, int]]) -> None:
        """Know these epochs and no others. Raises OSError."""
        if entries != self.entries:
            self._set(entries)
            self.write()

    def clear(self) -> None:
        """Forget all epochs. Raises OSError."""
        if self.entries:
            self._set([])
            self.write()

    def end_offset_for(self, requested_epoch: int, log_end_offset: int) -> tuple[int, int]:
        """Return (epoch, end offset) as the function of that name does."""
        return end_offset_for(self.entries, requested_epoch, log_end_offset)

    def write(self) -> None:
        """
        Replace the file; durable with the log's next flush.

        Waiting for the disk here would make the first append after every election wait; what a power failure takes
        lies behind the recovery point and is found again in the batches themselves. Raises OSError.
        """
        lines = "".join(f"{epoch} {start}\n" for epoch, start in self.entries)
        content = f"0\n{len(self.entries)}\n{lines}"
        replace_file(f"{self._directory}/{LEADER_EPOCH_CHECKPOINT}", content.encode(), durable=False)

    def _set(self, entries: list[tuple[int, int]]) -> None:
        self.entries = entries
        self.latest_epoch = entries[-1][0] if entries else UNDEFINED
