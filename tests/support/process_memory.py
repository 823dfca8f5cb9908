"""What a broker's processes hold: memory and descriptors."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kbroker.testing import Broker

MIB = 1024 * 1024


def proportional_set_size_bytes(broker: Broker) -> int:
    """Return the memory of all processes of a broker; pages that several share count once."""
    total_kib = 0
    for pid in (broker.pid, *broker.worker_pids().values()):
        total_kib += int(re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[0])
    return total_kib * 1024


def open_descriptors(broker: Broker) -> int:
    """Return how many descriptors the network workers have open."""
    return sum(
        len(os.listdir(f"/proc/{pid}/fd")) for name, pid in broker.worker_pids().items() if name.startswith("net")
    )
