"""
Who leads a partition: pure decisions over its state and the brokers that live.

A leader is a live replica out of the in-sync replicas (ISR), the first in the order of the assignment. Each change of
leader or loss of an ISR member raises the leader epoch, so that nobody confuses the old state with the new one. The
last ISR stays on record while none of its members lives: only they have everything that was acknowledged.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from kbroker.metadata.image import NO_LEADER, NO_ROW, PartitionState


def new_partition(
    partition: int, replicas: tuple[int, ...], live: Container[int], leader_epoch: int = 0
) -> PartitionState:
    """Return a partition that never had a leader: the first live replica leads, all live ones are in sync."""
    in_sync = tuple(broker for broker in replicas if broker in live)
    return PartitionState(
        partition,
        NO_ROW,
        in_sync[0] if in_sync else NO_LEADER,
        leader_epoch,
        0,
        replicas,
        in_sync or replicas,
        offline_replicas(replicas, live),
    )


def offline_replicas(replicas: tuple[int, ...], live: Container[int]) -> tuple[int, ...]:
    """Return the replicas on brokers that do not live."""
    return tuple(broker for broker in replicas if broker not in live)


def elect(state: PartitionState, live: Container[int], *, unclean: bool) -> PartitionState:
    """
    Return the partition as it is led now; `state` itself when leader and ISR stay.

    unclean  whether a replica that was not in sync may lead when no other can: what it lacks is lost
    """
    isr = tuple(broker for broker in state.isr if broker in live)
    leader = state.leader
    if leader in live:
        if isr == state.isr:
            return state
    elif isr:
        leader = next(broker for broker in state.replicas if broker in isr)
    else:
        outsiders = [broker for broker in state.replicas if broker in live] if unclean else []
        if outsiders:
            leader = outsiders[0]
            # Whoever leads now defines the log; the others have to follow it before they count as in sync.
            isr = (leader,)
        elif leader == NO_LEADER:
            return state
        else:
            leader, isr = NO_LEADER, state.isr
    return replace(
        state,
        leader=leader,
        isr=isr,
        leader_epoch=state.leader_epoch + 1,
        partition_epoch=state.partition_epoch + 1,
    )
