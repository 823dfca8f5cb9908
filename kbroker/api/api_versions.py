"""ApiVersions (18): which APIs this broker speaks, in which versions; answered from the table of handlers itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from kbroker.api.request import RequestContext
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse

logger = logging.getLogger(__name__)

VERSIONS = (0, 4)

_NAMES_SOFTWARE_SINCE = 3
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")


class ApiVersionsHandler:
    """
    Answers ApiVersions.

    served  api key → (lowest, highest) version, for every API in the table of handlers

    No features are listed: a feature level would switch clients to transactions and group protocols that need APIs
    which the table does not have, and clients go by the table where no feature is named.
    """

    def __init__(self, served: Mapping[int, tuple[int, int]]) -> None:
        response = ApiVersionsResponse(
            api_keys=[
                ApiVersion(api_key=key, min_version=low, max_version=high)
                for key, (low, high) in sorted(served.items())
            ]
        )
        self._encoded = {version: response.encode(version) for version in range(VERSIONS[0], VERSIONS[1] + 1)}
        low, high = served.get(ApiKey.API_VERSIONS, VERSIONS)
        # A client that is newer than this broker tries again with what this answer, in the oldest form, names.
        self._unsupported = ApiVersionsResponse(
            error_code=ErrorCode.UNSUPPORTED_VERSION,
            api_keys=[ApiVersion(api_key=ApiKey.API_VERSIONS, min_version=low, max_version=high)],
        ).encode(0)

    def handle_api_versions(self, context: RequestContext) -> None:
        """Answer the ranges; UNSUPPORTED_VERSION for a version not known, INVALID_REQUEST for a nameless client."""
        version = context.api_version
        encoded = self._encoded.get(version)
        if encoded is None:
            context.respond_parts([self._unsupported])
            return
        request = context.decode(ApiVersionsRequest)
        if version >= _NAMES_SOFTWARE_SINCE and not (
            _SOFTWARE.fullmatch(request.client_software_name) and _SOFTWARE.fullmatch(request.client_software_version)
        ):
            context.respond(ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST))
            return
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s is client id %r, software %s",
                context.connection.client_address(),
                context.client_id,
                f"{request.client_software_name} {request.client_software_version}".strip() or "not named",
            )
        context.respond_parts([encoded])
