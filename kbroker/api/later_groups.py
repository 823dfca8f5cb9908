"""
Groups of the protocols that come later: consumer groups of KIP-848, share groups, streams groups.

They are listed, and refused with the reason. A client that does not find an API it needs may wait for it in silence, as
librdkafka does; told UNSUPPORTED_VERSION, which is what a Kafka says that has the protocol switched off, it ends.
Administrators who describe such a group are told that there is none of that kind, and ask for a classic one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.errors import bounded_message
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages import consumer_group_describe, share_group_describe, streams_group_describe
from kbroker.protocol.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsResponse,
)
from kbroker.protocol.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
)
from kbroker.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from kbroker.protocol.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
)
from kbroker.protocol.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup,
)
from kbroker.protocol.messages.share_acknowledge import ShareAcknowledgeRequest, ShareAcknowledgeResponse
from kbroker.protocol.messages.share_fetch import ShareFetchRequest, ShareFetchResponse
from kbroker.protocol.messages.share_group_describe import ShareGroupDescribeRequest, ShareGroupDescribeResponse
from kbroker.protocol.messages.share_group_heartbeat import ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse
from kbroker.protocol.messages.streams_group_describe import StreamsGroupDescribeRequest, StreamsGroupDescribeResponse
from kbroker.protocol.messages.streams_group_heartbeat import (
    StreamsGroupHeartbeatRequest,
    StreamsGroupHeartbeatResponse,
)

_UNSUPPORTED: Final = ErrorCode.UNSUPPORTED_VERSION
_NO_CONSUMER_GROUPS: Final = (
    "The consumer group protocol of KIP-848 is not served in this version of the broker: set group.protocol=classic."
)
_NO_SHARE_GROUPS: Final = "Share groups are not served in this version of the broker."
_NO_STREAMS_GROUPS: Final = (
    "The streams group protocol is not served in this version of the broker: set group.protocol=classic."
)


def _not_found(group_id: str, kind: str) -> str:
    return bounded_message(
        f"There is no {kind} group {group_id}: groups of that kind are not served in this version of the broker."
    )


def _consumer_heartbeat(_request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(error_code=_UNSUPPORTED, error_message=_NO_CONSUMER_GROUPS)


def _consumer_describe(request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse:
    return ConsumerGroupDescribeResponse(
        groups=[
            # Clients ask for a classic group next; when there is none either, this is what they show.
            consumer_group_describe.DescribedGroup(
                group_id=group_id,
                error_code=_missing(group_id),
                error_message=bounded_message(f"Group {group_id} not found."),
            )
            for group_id in request.group_ids
        ]
    )


def _missing(group_id: str) -> ErrorCode:
    return ErrorCode.GROUP_ID_NOT_FOUND if group_id else ErrorCode.INVALID_GROUP_ID


def _share_heartbeat(_request: ShareGroupHeartbeatRequest) -> ShareGroupHeartbeatResponse:
    return ShareGroupHeartbeatResponse(error_code=_UNSUPPORTED, error_message=_NO_SHARE_GROUPS)


def _share_describe(request: ShareGroupDescribeRequest) -> ShareGroupDescribeResponse:
    return ShareGroupDescribeResponse(
        groups=[
            share_group_describe.DescribedGroup(
                group_id=group_id, error_code=_missing(group_id), error_message=_not_found(group_id, "share")
            )
            for group_id in request.group_ids
        ]
    )


def _share_fetch(_request: ShareFetchRequest) -> ShareFetchResponse:
    return ShareFetchResponse(error_code=_UNSUPPORTED, error_message=_NO_SHARE_GROUPS)


def _share_acknowledge(_request: ShareAcknowledgeRequest) -> ShareAcknowledgeResponse:
    return ShareAcknowledgeResponse(error_code=_UNSUPPORTED, error_message=_NO_SHARE_GROUPS)


def _share_offsets(request: DescribeShareGroupOffsetsRequest) -> DescribeShareGroupOffsetsResponse:
    return DescribeShareGroupOffsetsResponse(
        groups=[
            DescribeShareGroupOffsetsResponseGroup(
                group_id=group.group_id,
                error_code=_missing(group.group_id),
                error_message=_not_found(group.group_id, "share"),
            )
            for group in request.groups
        ]
    )


def _alter_share_offsets(request: AlterShareGroupOffsetsRequest) -> AlterShareGroupOffsetsResponse:
    return AlterShareGroupOffsetsResponse(
        error_code=_missing(request.group_id), error_message=_not_found(request.group_id, "share")
    )


def _delete_share_offsets(request: DeleteShareGroupOffsetsRequest) -> DeleteShareGroupOffsetsResponse:
    return DeleteShareGroupOffsetsResponse(
        error_code=_missing(request.group_id), error_message=_not_found(request.group_id, "share")
    )


def _streams_heartbeat(request: StreamsGroupHeartbeatRequest) -> StreamsGroupHeartbeatResponse:
    return StreamsGroupHeartbeatResponse(
        error_code=_UNSUPPORTED,
        error_message=_NO_STREAMS_GROUPS,
        member_id=request.member_id,
        active_tasks=None,
        standby_tasks=None,
        warmup_tasks=None,
        partitions_by_user_endpoint=None,
    )


def _streams_describe(request: StreamsGroupDescribeRequest) -> StreamsGroupDescribeResponse:
    return StreamsGroupDescribeResponse(
        groups=[
            streams_group_describe.DescribedGroup(
                group_id=group_id, error_code=_missing(group_id), error_message=_not_found(group_id, "streams")
            )
            for group_id in request.group_ids
        ]
    )


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.CONSUMER_GROUP_HEARTBEAT: answering(ConsumerGroupHeartbeatRequest, _consumer_heartbeat),
    ApiKey.CONSUMER_GROUP_DESCRIBE: answering(ConsumerGroupDescribeRequest, _consumer_describe),
    ApiKey.SHARE_GROUP_HEARTBEAT: answering(ShareGroupHeartbeatRequest, _share_heartbeat),
    ApiKey.SHARE_GROUP_DESCRIBE: answering(ShareGroupDescribeRequest, _share_describe),
    ApiKey.SHARE_FETCH: answering(ShareFetchRequest, _share_fetch),
    ApiKey.SHARE_ACKNOWLEDGE: answering(ShareAcknowledgeRequest, _share_acknowledge),
    ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS: answering(DescribeShareGroupOffsetsRequest, _share_offsets),
    ApiKey.ALTER_SHARE_GROUP_OFFSETS: answering(AlterShareGroupOffsetsRequest, _alter_share_offsets),
    ApiKey.DELETE_SHARE_GROUP_OFFSETS: answering(DeleteShareGroupOffsetsRequest, _delete_share_offsets),
    ApiKey.STREAMS_GROUP_HEARTBEAT: answering(StreamsGroupHeartbeatRequest, _streams_heartbeat),
    ApiKey.STREAMS_GROUP_DESCRIBE: answering(StreamsGroupDescribeRequest, _streams_describe),
}
