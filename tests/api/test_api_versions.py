"""What we list is what we serve, in every version of the question."""

from __future__ import annotations

import pytest

from kbroker.api.api_versions import VERSIONS, ApiVersionsHandler
from kbroker.protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse

HANDLER = ApiVersionsHandler({18: VERSIONS, 0: (0, 13), 3: (0, 12)})
LISTED = [
    ApiVersion(api_key=0, min_version=0, max_version=13),
    ApiVersion(api_key=3, min_version=0, max_version=12),
    ApiVersion(api_key=18, min_version=0, max_version=4),
]
REQUEST = ApiVersionsRequest(client_software_name="some-client", client_software_version="1.2.3")


@pytest.mark.parametrize("version", range(5))
def test_every_version_lists_the_table_in_order_of_keys(world, version: int) -> None:
    response = world.send(HANDLER.handle_api_versions, REQUEST, version).response(ApiVersionsResponse)
    assert response == ApiVersionsResponse(api_keys=LISTED)


def test_client_newer_than_the_broker_is_told_the_range_in_version_0(world) -> None:
    """The client cannot read any other version; it sees the range of ApiVersions and tries again."""
    response = world.send(HANDLER.handle_api_versions, REQUEST, 9).response(ApiVersionsResponse, version=0)
    assert response.error_code == 35
    assert response.api_keys == [ApiVersion(api_key=18, min_version=0, max_version=4)]


@pytest.mark.parametrize(
    ("name", "software_version"),
    [
        pytest.param("", "1", id="no name"),
        pytest.param("client", "", id="no version"),
        pytest.param("-client", "1", id="begins with a dash"),
        pytest.param("client.", "1", id="ends with a dot"),
        pytest.param("my client", "1", id="space inside"),
    ],
)
def test_clients_must_name_themselves_properly(world, name: str, software_version: str) -> None:
    request = ApiVersionsRequest(client_software_name=name, client_software_version=software_version)
    response = world.send(HANDLER.handle_api_versions, request, 3).response(ApiVersionsResponse)
    assert response == ApiVersionsResponse(error_code=42)
