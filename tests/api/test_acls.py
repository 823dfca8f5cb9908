"""Without an authorizer there are no access rules, and that is what every question about them is answered."""

from __future__ import annotations

import pytest

from kbroker.api.acls import HANDLERS
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.messages.create_acls import AclCreation, CreateAclsRequest, CreateAclsResponse
from kbroker.protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest, DeleteAclsResponse
from kbroker.protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse

SECURITY_DISABLED = 54
NO_AUTHORIZER = "No Authorizer is configured."


@pytest.mark.parametrize("version", range(4))
def test_rules_are_not_told_made_or_deleted(world, version: int) -> None:
    described = world.send(HANDLERS[ApiKey.DESCRIBE_ACLS].handle, DescribeAclsRequest(), version)
    response = described.response(DescribeAclsResponse)
    assert (response.error_code, response.error_message) == (SECURITY_DISABLED, NO_AUTHORIZER)
    created = world.send(
        HANDLERS[ApiKey.CREATE_ACLS].handle, CreateAclsRequest(creations=[AclCreation(), AclCreation()]), version
    )
    results = created.response(CreateAclsResponse).results
    assert [(one.error_code, one.error_message) for one in results] == [(SECURITY_DISABLED, NO_AUTHORIZER)] * 2
    deleted = world.send(HANDLERS[ApiKey.DELETE_ACLS].handle, DeleteAclsRequest(filters=[DeleteAclsFilter()]), version)
    results = deleted.response(DeleteAclsResponse).filter_results
    assert [(one.error_code, one.error_message) for one in results] == [(SECURITY_DISABLED, NO_AUTHORIZER)]
