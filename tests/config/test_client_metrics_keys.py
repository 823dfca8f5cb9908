"""Subscriptions to clients' metrics: kept when Kafka would keep them, refused with Kafka's codes."""

from __future__ import annotations

import pytest

from kbroker.config.client_metrics_keys import RequestRefused, check_client_metrics_config
from kbroker.errors import ConfigError


@pytest.mark.parametrize(
    ("configs", "message", "is_bad_request"),
    [
        ({"interval.ms": "99"}, "from 100 to 3600000", True),
        ({"interval.ms": "3600001"}, "from 100 to 3600000", True),
        ({"push.interval": "1"}, "Unknown client metrics configuration: push.interval", True),
        ({"interval.ms": "x"}, "Invalid value x for configuration interval.ms", False),
        ({"match": "client_id"}, "Illegal client matching pattern: client_id;", False),
        ({"match": "colour=.*"}, "expected one of client_id, client_instance_id", False),
        ({"match": "client_id=.*,client_id=["}, "Illegal client matching pattern: client_id=[", False),
        ({"match": "client_id=a{99999999999999}"}, "Illegal client matching pattern: client_id=a{", False),
        ({"match": "client_id=" + "(" * 10_000}, "Illegal client matching pattern: client_id=((", False),
    ],
)
def test_what_cannot_be_set_is_explained(configs, message, is_bad_request):
    with pytest.raises(ConfigError) as caught:
        check_client_metrics_config(configs)
    assert message in str(caught.value)
    assert isinstance(caught.value, RequestRefused) == is_bad_request


def test_a_good_subscription():
    check_client_metrics_config(
        {"interval.ms": "100", "match": "client_id=app-.*,client_software_name=apache.*", "metrics": "*"}
    )
