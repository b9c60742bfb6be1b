"""One message through a Kafka broker."""

from typing import Any

from confluent_kafka import Consumer, Message, Producer

KAFKA_CLIENT = {"broker.address.family": "v4", "log_level": 0}
"""Settings of a client in a test: what its threads say of a stopped broker is of no interest."""


def carried(servers: str, topic: str, value: bytes, **options: Any) -> Message | None:
    """Send a message and read the topic; give what arrives first, or None after half a minute.

    Options are those of ``Producer.produce``, such as ``headers``.
    """
    producer = Producer({"bootstrap.servers": servers})
    producer.produce(topic, value, **options)
    assert producer.flush(20) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "tests",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic])
    message = consumer.poll(30)
    consumer.close()
    return message
