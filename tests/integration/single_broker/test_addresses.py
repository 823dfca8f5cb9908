"""What Metadata tells a client is where that client can reach the broker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import told_addresses
from confluent_kafka.admin import AdminClient
from told_addresses import told

from kbroker.testing import Broker


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_unset_each_client_is_told_the_address_it_dialled() -> None:
    """So that containers, tunnels and second interfaces need no configuration."""
    with Broker({"listeners": "PLAINTEXT://:0"}) as broker:
        for host in ("127.0.0.1", "127.0.0.2"):
            assert told(f"{host}:{broker.port}") == {f"{host}:{broker.port}"}
        # A name is resolved before it is dialled: what arrives is an address.
        assert told(f"localhost:{broker.port}") <= {f"127.0.0.1:{broker.port}", f"[::1]:{broker.port}"}
        if _has_ipv6():
            assert told(f"[::1]:{broker.port}") == {f"[::1]:{broker.port}"}


def test_set_it_is_told_whatever_was_dialled() -> None:
    with Broker({"advertised.listeners": "PLAINTEXT://broker.example:19092"}) as broker:
        assert told(broker.bootstrap_servers) == {"broker.example:19092"}


def test_several_listeners_serve_the_same_and_each_tells_its_own_address() -> None:
    config = {
        "listeners": "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.3:0",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    }
    with Broker(config) as broker:
        assert broker.listeners.keys() == {"INSIDE", "OUTSIDE"}
        assert broker.create_topic("seen-from-both") == "seen-from-both"
        for address in broker.listeners.values():
            assert told(address) == {address}
            assert "seen-from-both" in AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).topics
        before = dict(broker.listeners)
        broker.restart()
        assert broker.listeners == before


def test_an_address_of_another_interface_is_not_served() -> None:
    with Broker() as broker, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.9", broker.port), 5)


def _clients_find_localhost() -> bool:
    try:
        socket.getaddrinfo("localhost", 0, family=socket.AF_INET, flags=socket.AI_ADDRCONFIG)
    except socket.gaierror:
        return False
    return True


@pytest.mark.skipif(not _clients_find_localhost(), reason="needs a network interface besides the loopback one")
def test_a_name_is_told_as_it_is_written() -> None:
    """Metadata, FindCoordinator, DescribeCluster: a client that asked for localhost is not sent to an address."""
    with Broker({"listeners": "PLAINTEXT://localhost:0"}) as broker:
        for host in ("localhost", "127.0.0.1", "[::1]"):
            if host != "[::1]" or _localhost_has("::1"):
                assert told(f"{host}:{broker.port}") == {f"localhost:{broker.port}"}
        admin = broker.admin()
        (node,) = admin.describe_cluster(request_timeout=30).result(30).nodes
        assert (node.host, node.port) == ("localhost", broker.port)
        group = admin.describe_consumer_groups(["nobody"], request_timeout=30)["nobody"].result(30)
        assert (group.coordinator.host, group.coordinator.port) == ("localhost", broker.port)


def _localhost_has(address: str) -> bool:
    return any(entry[4][0] == address for entry in socket.getaddrinfo("localhost", 0))


def _may_make_namespaces() -> bool:
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return not subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode


needs_namespaces = pytest.mark.skipif(
    not _may_make_namespaces(), reason="needs root, and unshare and ip (util-linux, iproute2)"
)

HOSTS = {"NAME": "localhost", "NOTHING": "", "FOUR": "0.0.0.0", "BOTH": "[::]", "SIX": "[::1]"}
LOOPBACK_ONLY = ["ip link set lo up"]
NO_IPV6 = [
    *LOOPBACK_ONLY,
    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1",
]


def _told_in_a_namespace(commands: list[str], hosts: dict[str, str], dialled: list[str]) -> dict[str, dict[str, str]]:
    """Return listener → dialled host → host told, of a broker in a network namespace of its own."""
    config = {
        "listeners": ",".join(f"{name}://{host}:0" for name, host in hosts.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in hosts),
        "inter.broker.listener.name": next(iter(hosts)),
    }
    arguments = [json.dumps(commands), json.dumps(config), json.dumps(dialled)]
    done = subprocess.run(
        ["unshare", "-n", "-m", sys.executable, told_addresses.__file__, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, dict[str, str]] = json.loads(done.stdout)
    return answer


@needs_namespaces
def test_a_network_with_nothing_but_loopback() -> None:
    """There the C library looks no name up for clients that mind interfaces (AI_ADDRCONFIG): localhost is no answer."""
    assert _told_in_a_namespace(LOOPBACK_ONLY, HOSTS, ["127.0.0.1", "::1"]) == {
        "NAME": {"127.0.0.1": "127.0.0.1", "::1": "::1"},
        "NOTHING": {"127.0.0.1": "127.0.0.1", "::1": "::1"},
        "FOUR": {"127.0.0.1": "127.0.0.1", "::1": None},
        "BOTH": {"127.0.0.1": "127.0.0.1", "::1": "::1"},
        "SIX": {"127.0.0.1": None, "::1": "::1"},
    }


@needs_namespaces
def test_a_host_without_ipv6() -> None:
    hosts = {name: host for name, host in HOSTS.items() if name != "SIX"}
    answer = {"127.0.0.1": "127.0.0.1", "::1": None}
    assert _told_in_a_namespace(NO_IPV6, hosts, ["127.0.0.1", "::1"]) == dict.fromkeys(hosts, answer)


@needs_namespaces
def test_a_network_with_an_interface_and_its_link_local_address() -> None:
    """The name is told again, and a link-local address with the interface without which nobody can dial it."""
    commands = [
        *LOOPBACK_ONLY,
        "ip link add out0 type veth peer name out1",
        "ip link set out0 up",
        "ip link set out1 up",
        "ip addr add 192.0.2.77/24 dev out0",
        "ip addr add fe80::77/64 dev out0 nodad",
    ]
    hosts = {"NAME": "localhost", "BOTH": "[::]", "LINK": "[fe80::77%out0]"}
    answer = _told_in_a_namespace(commands, hosts, ["127.0.0.1", "192.0.2.77", "fe80::77%out0"])
    assert answer == {
        "NAME": {"127.0.0.1": "localhost", "192.0.2.77": None, "fe80::77%out0": None},
        "BOTH": {host: host for host in ("127.0.0.1", "192.0.2.77", "fe80::77%out0")},
        "LINK": {"127.0.0.1": None, "192.0.2.77": None, "fe80::77%out0": "fe80::77%out0"},
    }


@needs_namespaces
@pytest.mark.parametrize(
    ("address", "told_hosts"),
    [
        ("127.0.0.1", {"127.0.0.1": "localhost", "::1": "::1"}),
        # The C library takes this line for 127.0.0.1, too.
        ("::1", {"127.0.0.1": "localhost", "::1": "localhost"}),
        ("127.0.0.5", {"127.0.0.1": "127.0.0.1", "::1": "::1", "127.0.0.5": "localhost"}),
    ],
)
def test_a_place_where_localhost_is_not_both_loopbacks(
    address: str, told_hosts: dict[str, str], tmp_path: Path
) -> None:
    """Who dialled another one is told what it dialled: the name would lead it elsewhere."""
    hosts_file = tmp_path / "hosts"
    hosts_file.write_text(f"{address} localhost\n")
    commands = [
        *LOOPBACK_ONLY,
        f"mount --bind {hosts_file} /etc/hosts",
        "ip link add out0 type veth peer name out1",
        "ip link set out0 up",
        "ip link set out1 up",
        "ip addr add 192.0.2.77/24 dev out0",
        "ip addr add 2001:db8::77/64 dev out0 nodad",
    ]
    assert _told_in_a_namespace(commands, {"NAME": "localhost"}, list(told_hosts)) == {"NAME": told_hosts}
