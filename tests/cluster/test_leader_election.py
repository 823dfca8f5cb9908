"""Leaders come from the in-sync replicas, whatever brokers come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kbroker.cluster.leader_election import elect, new_partition
from kbroker.metadata.image import NO_LEADER

brokers = st.integers(0, 4)
replicas = st.lists(brokers, min_size=1, max_size=4, unique=True).map(tuple)
lives = st.frozensets(brokers)


def test_a_new_partition_is_led_by_its_first_live_replica():
    state = new_partition(3, (2, 0, 1), {0, 1}, leader_epoch=7)
    assert (state.leader, state.isr, state.offline_replicas, state.leader_epoch) == (0, (0, 1), (2,), 7)
    state = new_partition(0, (2,), {0, 1})
    assert (state.leader, state.isr, state.offline_replicas) == (NO_LEADER, (2,), (2,))


@given(replicas, st.lists(lives, max_size=12))
def test_without_unclean_elections_only_in_sync_replicas_lead(placed, history):
    state = new_partition(0, placed, history[0] if history else {0})
    for live in history:
        after = elect(state, live, unclean=False)
        assert set(after.isr) <= set(state.isr)
        assert after.isr
        if set(state.isr) & live:
            assert after.leader in live
            assert after.leader in state.isr
            assert set(after.isr) == set(state.isr) & live
        else:
            assert (after.leader, after.isr) == (NO_LEADER, state.isr)
        changed = (after.leader, after.isr) != (state.leader, state.isr)
        assert after.leader_epoch - state.leader_epoch == changed
        assert after.partition_epoch - state.partition_epoch == changed
        assert elect(after, live, unclean=False) is after
        state = after


@given(replicas, st.lists(lives, max_size=12))
def test_with_unclean_elections_any_live_replica_leads(placed, history):
    state = new_partition(0, placed, {0})
    for live in history:
        state = elect(state, live, unclean=True)
        assert (state.leader in live) == bool(set(placed) & live)
        assert state.leader == NO_LEADER or state.leader in state.isr
