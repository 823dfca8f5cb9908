"""Listeners are understood as Kafka understands them; what cannot be bound is refused with the reason."""

import pytest

from kbroker.config.listeners import Listener, is_loopback_name, parse_listeners, parse_protocol_map
from kbroker.errors import ConfigError

PROTOCOLS = {"PLAINTEXT": "PLAINTEXT", "LAN": "PLAINTEXT", "SSL": "SSL", "SASL_SSL": "SASL_SSL"}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("PLAINTEXT://:9092", "", 9092, id="all interfaces"),
        pytest.param("PLAINTEXT://localhost:9092", "localhost", 9092, id="a name"),
        pytest.param("plaintext://127.0.0.1:0", "127.0.0.1", 0, id="lower case; the kernel chooses the port"),
        pytest.param("PLAINTEXT://[::1]:9092", "::1", 9092, id="IPv6"),
        pytest.param("PLAINTEXT://[fe80::1%eth0]:9092", "fe80::1%eth0", 9092, id="IPv6 with a zone"),
        pytest.param("PLAINTEXT://[fe80::1%br-lan_0]:9092", "fe80::1%br-lan_0", 9092, id="a zone with a dash"),
        pytest.param("PLAINTEXT://0.0.0.0:9092", "0.0.0.0", 9092, id="all IPv4 interfaces"),
        pytest.param("PLAINTEXT://my_host-1.example:9092", "my_host-1.example", 9092, id="a long name"),
    ],
)
def test_one_listener(text: str, host: str, port: int) -> None:
    assert parse_listeners([text], PROTOCOLS) == (Listener("PLAINTEXT", "PLAINTEXT", host, port),)


def test_several_listeners_and_how_they_are_written() -> None:
    listeners = parse_listeners(["PLAINTEXT://[::1]:9092", "LAN://:9093"], PROTOCOLS)
    assert [str(one) for one in listeners] == ["PLAINTEXT://[::1]:9092", "LAN://:9093"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["localhost:9092"], "expected NAME://host:port"),
        (["PLAINTEXT://localhost"], "expected NAME://host:port"),
        (["PLAINTEXT://localhost:"], "expected NAME://host:port"),
        (["PLAINTEXT://a b:1"], "expected NAME://host:port"),
        (["PLAINTEXT://localhost:70000"], "not between 0 and 65535"),
        (["SSL://localhost:9092"], "SSL, which is not in this version"),
        (["SASL_SSL://localhost:9092"], "SASL_SSL, which is not in this version"),
        (["OTHER://localhost:9092"], "listener.security.protocol.map"),
        (["PLAINTEXT://:9092", "LAN://:9092"], "port 9092 is used by"),
        (["PLAINTEXT://:9092", "PLAINTEXT://:9093"], "name PLAINTEXT is used twice"),
        ([], "at least one listener"),
    ],
)
def test_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_listeners(texts, PROTOCOLS)


def test_one_port_may_have_one_ipv4_and_one_ipv6_address() -> None:
    """KIP-797."""
    assert len(parse_listeners(["PLAINTEXT://127.0.0.1:9092", "LAN://[::1]:9092"], PROTOCOLS)) == 2


def test_several_ports_may_be_left_to_the_kernel() -> None:
    assert len(parse_listeners(["PLAINTEXT://:0", "LAN://:0"], PROTOCOLS)) == 2


def test_advertised_listeners_may_share_a_port_but_not_name_every_address() -> None:
    """Behind one proxy several listeners may have one port; 0.0.0.0 is no address a client can dial."""
    assert len(parse_listeners(["PLAINTEXT://a:1", "LAN://b:1"], PROTOCOLS, advertised=True)) == 2
    with pytest.raises(ConfigError, match="cannot be reached"):
        parse_listeners(["PLAINTEXT://0.0.0.0:1"], PROTOCOLS, advertised=True)
    assert parse_listeners(["PLAINTEXT://:1"], PROTOCOLS, advertised=True)[0].host


def test_protocol_map() -> None:
    assert parse_protocol_map(["lan:plaintext", "WAN:SSL"]) == {"LAN": "PLAINTEXT", "WAN": "SSL"}
    for bad in (["LAN"], ["LAN:TLS"], [":SSL"]):
        with pytest.raises(ConfigError, match="expected NAME:PROTOCOL"):
            parse_protocol_map(bad)
    with pytest.raises(ConfigError, match="twice"):
        parse_protocol_map(["LAN:SSL", "lan:PLAINTEXT"])


@pytest.mark.parametrize("host", ["localhost", "LocalHost.", "kafka-1", "a.b.example", "127.0.0.1.nip.io", "cafe"])
def test_a_name_is_told_as_it_is_written(host: str) -> None:
    assert Listener("A", "PLAINTEXT", host, 1).host_name == host


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "127.0.0.1", "127.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_an_address_or_a_wildcard_is_no_name(host: str) -> None:
    assert Listener("A", "PLAINTEXT", host, 1).host_name == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("kafka.localhost", True),
        ("localhost.localdomain", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("127.0.0.1", False),
    ],
)
def test_names_of_the_loopback(host: str, expected: bool) -> None:
    assert is_loopback_name(host) is expected
