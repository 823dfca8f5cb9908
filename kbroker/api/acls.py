"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31): without an authorizer there are no rules to tell or change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kbroker.api.handler import Handler, answering
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse
from kbroker.protocol.messages.delete_acls import DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse
from kbroker.protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse

_NO_AUTHORIZER: Final = "No Authorizer is configured."
"""Kafka's words, which administrators search for."""


def _describe(_request: DescribeAclsRequest) -> DescribeAclsResponse:
    return DescribeAclsResponse(error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER)


def _create(request: CreateAclsRequest) -> CreateAclsResponse:
    refused = AclCreationResult(error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER)
    return CreateAclsResponse(results=[refused for _ in request.creations])


def _delete(request: DeleteAclsRequest) -> DeleteAclsResponse:
    refused = DeleteAclsFilterResult(error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER)
    return DeleteAclsResponse(filter_results=[refused for _ in request.filters])


HANDLERS: Final[Mapping[int, Handler]] = {
    ApiKey.DESCRIBE_ACLS: answering(DescribeAclsRequest, _describe),
    ApiKey.CREATE_ACLS: answering(CreateAclsRequest, _create),
    ApiKey.DELETE_ACLS: answering(DeleteAclsRequest, _delete),
}
