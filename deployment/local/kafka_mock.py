"""The stand-in broker: librdkafka's own mock cluster, reachable at a port of our choice.

Run as ``python -m deployment.local.kafka_mock PORT TOPIC...``. The mock cluster lives inside a
client and chooses its port by itself; a forwarder on PORT leads the first contact of other clients
to it, and the metadata that they get there lead them to the broker directly.
"""

import contextlib
import socket
import sys
import threading
from typing import NoReturn

from confluent_kafka.admin import AdminClient

from deployment.local.ports import LOOPBACK

_SECONDS_FOR_METADATA = 10


def serve(port: int, topics: list[str]) -> NoReturn:
    """Run the mock cluster with the given topics until the process is stopped."""
    cluster = AdminClient({"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1})
    (broker,) = cluster.list_topics(timeout=_SECONDS_FOR_METADATA).brokers.values()
    clients = AdminClient({"bootstrap.servers": f"{broker.host}:{broker.port}"})
    for topic in topics:
        # Asking for the metadata of an unknown topic creates it here.
        clients.list_topics(topic, timeout=_SECONDS_FOR_METADATA)
    with socket.create_server((LOOPBACK, port)) as entrance:
        while True:
            client, _ = entrance.accept()
            threading.Thread(
                target=_forward, args=(client, (broker.host, broker.port)), daemon=True
            ).start()


def _forward(client: socket.socket, broker_address: tuple[str, int]) -> None:
    with client, socket.create_connection(broker_address) as broker:
        back = threading.Thread(target=_copy, args=(broker, client), daemon=True)
        back.start()
        _copy(client, broker)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
