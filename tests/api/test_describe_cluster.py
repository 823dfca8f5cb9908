"""Admin clients learn the cluster's brokers; KRaft's controllers are not to be had here."""

from __future__ import annotations

import pytest

from kbroker.api.describe_cluster import DescribeClusterHandler
from kbroker.protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)


def describe(world, version: int = 2, **fields) -> DescribeClusterResponse:
    handler = DescribeClusterHandler(world.view)
    request = DescribeClusterRequest(**fields)
    return world.send(handler.handle_describe_cluster, request, version).response(DescribeClusterResponse)


@pytest.mark.parametrize("version", range(3))
def test_brokers_and_controller(world, version: int) -> None:
    response = describe(world, version, include_fenced_brokers=True)
    assert (response.error_code, response.cluster_id, response.controller_id) == (0, "cluster-of-the-test-00", 5)
    assert response.brokers == [DescribeClusterBroker(broker_id=5, host="192.0.2.7", port=19092, rack="rack-a")]
    assert response.cluster_authorized_operations == -(2**31)


def test_authorized_operations_when_asked(world) -> None:
    assert describe(world, include_cluster_authorized_operations=True).cluster_authorized_operations == 8096


@pytest.mark.parametrize(("endpoint_type", "error"), [(2, 114), (3, 115), (0, 115)])
def test_other_endpoints_are_refused(world, endpoint_type: int, error: int) -> None:
    response = describe(world, endpoint_type=endpoint_type)
    assert response.error_code == error
    assert response.error_message
    assert response.brokers == []
