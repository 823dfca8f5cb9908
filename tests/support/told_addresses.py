"""
What clients are told of where the broker is: `told`, and the same from a network namespace of its own.

    unshare -n python told_addresses.py '["ip link set lo up"]' '{"listeners": "PLAINTEXT://:0"}' '["127.0.0.1"]'

runs the commands, starts a broker with that configuration, dials each host on each listener, and prints
{listener: {host: host told, null where nobody answers}}.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys

from confluent_kafka.admin import AdminClient


def told(address: str) -> set[str]:
    """Return the brokers' addresses as a client that dialled `address` is told them."""
    metadata = AdminClient({"bootstrap.servers": address}).list_topics(timeout=30)
    return {
        f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"
        for node in metadata.brokers.values()
    }


def _told_host(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return None
    (address,) = told(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    told_host, _, told_port = address.rpartition(":")
    assert int(told_port) == port, address
    return told_host.strip("[]")


def main(commands: str, config: str, hosts: str) -> None:
    """Do what the module says."""
    from kbroker.testing import Broker

    for command in json.loads(commands):
        subprocess.run(shlex.split(command), check=True)
    with Broker(json.loads(config)) as broker:
        ports = {name: int(address.rpartition(":")[2]) for name, address in broker.listeners.items()}
        print(
            json.dumps(
                {name: {host: _told_host(host, port) for host in json.loads(hosts)} for name, port in ports.items()}
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
