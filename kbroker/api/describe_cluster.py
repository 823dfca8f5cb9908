"""DescribeCluster (60): who the cluster is and which brokers it has."""

from __future__ import annotations

from kbroker.api.cluster_view import ClusterView
from kbroker.api.metadata import brokers_for
from kbroker.api.request import RequestContext
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from kbroker.security.authorized_operations import CLUSTER_OPERATIONS, NOT_ASKED

VERSIONS = (0, 2)

_BROKERS = 1
_CONTROLLERS = 2


class DescribeClusterHandler:
    """Answers DescribeCluster; a broker that is not alive is not known, so there are no fenced ones to include."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def handle_describe_cluster(self, context: RequestContext) -> None:
        """Answer the brokers; clients that ask for KRaft's controllers are told that this is no such endpoint."""
        request = context.decode(DescribeClusterRequest)
        if request.endpoint_type != _BROKERS:
            mismatched = request.endpoint_type == _CONTROLLERS
            error = ErrorCode.MISMATCHED_ENDPOINT_TYPE if mismatched else ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
            context.respond(DescribeClusterResponse(error_code=error, error_message=error.default_message))
            return
        image = self._view.image
        context.respond(
            DescribeClusterResponse(
                endpoint_type=_BROKERS,
                cluster_id=image.cluster_id,
                controller_id=image.controller_id,
                brokers=[
                    DescribeClusterBroker(broker_id=broker_id, host=host, port=port, rack=rack)
                    for broker_id, host, port, rack in brokers_for(image, self._view.broker_id, context.connection)
                ],
                cluster_authorized_operations=(
                    CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
                ),
            )
        )
