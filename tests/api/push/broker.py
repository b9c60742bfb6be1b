"""What a consumer of a topic has received."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition


def received(servers: str, topic: str, *, at_least: int = 0, seconds: float = 60) -> list[Any]:
    """Return all messages of a topic, once there are so many; fail if there never are."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"reader-of-{topic}",
            "broker.address.family": "v4",
            "enable.partition.eof": True,
        }
    )
    try:
        deadline = time.monotonic() + seconds
        while True:
            messages = _read_to_the_end(consumer, topic)
            if len(messages) >= at_least:
                return messages
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(messages)} messages in {topic}, not {at_least}")
            time.sleep(0.2)
    finally:
        consumer.close()


def _read_to_the_end(consumer: Consumer, topic: str) -> list[Any]:
    known = consumer.list_topics(topic, timeout=20).topics[topic]
    partitions = list(known.partitions) if known.error is None else []
    if not partitions:
        return []
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    messages: list[Any] = []
    at_end: set[int] = set()
    while len(at_end) < len(partitions):
        message = consumer.poll(20)
        assert message is not None, "the broker does not answer"
        if message.error() is None:
            messages.append(message)
        else:
            at_end.add(message.partition() or 0)
    return messages


def events(messages: list[Any]) -> list[dict[str, Any]]:
    """Return the messages' CloudEvents."""
    return [msgspec.json.decode(message.value()) for message in messages]


@dataclass
class Follower:
    """A consumer as docs/push.md tells to write one: it keeps the highest revision of each day."""

    days: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def read(self, event: dict[str, Any]) -> None:
        """Take a message in, in any order, and however often."""
        user_uuid, day, revision = event["id"].split(":")
        known = self.days.get((user_uuid, day))
        if known is None or int(revision) > known["revision"]:
            self.days[user_uuid, day] = event["data"]

    def counts(self, user_uuid: str) -> dict[str, Any]:
        """Return what it believes of a customer's days."""
        return {
            day: data["maximum_counts"]
            for (owner, day), data in self.days.items()
            if owner == user_uuid and not data["withdrawn"]
        }
