"""Clowder's configuration file, "cdappconfig" (spec 08 §5)."""

import atexit
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ClowderError(ValueError):
    """Clowder's file is missing, not readable, or lacks something that is needed."""


@dataclass(frozen=True)
class DatabasePlace:
    """Where the database is and how to log in."""

    name: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    sslmode: str | None = None
    ca: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RedisPlace:
    """Where Redis is and how to log in."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False


@dataclass(frozen=True)
class KafkaPlace:
    """Where the Kafka brokers are and how to log in.

    What is None is left to the client's defaults.
    """

    servers: tuple[str, ...]
    security_protocol: str | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CloudWatchPlace:
    """Where log lines are sent and how to log in."""

    region: str
    log_group: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


class Clowder:
    """What Clowder tells an application about the services around it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    @classmethod
    def load(cls, path: str) -> "Clowder":
        """Read the file that ``ACG_CONFIG`` names; raise ClowderError if that is not possible."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ClowderError(f"ACG_CONFIG: {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ClowderError(f"ACG_CONFIG: {path} is not JSON") from error
        if not isinstance(data, dict):
            raise ClowderError(f"ACG_CONFIG: {path} is not a JSON object")
        return cls(data)

    @property
    def web_port(self) -> int | None:
        """The port that HTTP is to be served on, if it is given."""
        return self._data.get("webPort") or None

    @property
    def metrics(self) -> tuple[int, str] | None:
        """The port and path that metrics are to be served on as well, if they are given."""
        port = self._data.get("metricsPort")
        return (port, self._data.get("metricsPath") or "/metrics") if port else None

    def database(self) -> DatabasePlace:
        """Return the database, behind postigrade if there is one. TLS is for direct connections."""
        section = self._section("database", "name", "hostname", "port", "username", "password")
        pooler = self.endpoint("postigrade", "svc")
        place = pooler or section
        return DatabasePlace(
            name=section["name"],
            host=place["hostname"],
            port=place["port"],
            user=section["username"],
            password=section["password"],
            sslmode=None if pooler else section.get("sslMode") or None,
            ca=None if pooler else section.get("rdsCa") or None,
        )

    def redis(self) -> RedisPlace:
        """Return the in-memory database."""
        section = self._section("inMemoryDb", "hostname", "port")
        return RedisPlace(
            host=section["hostname"],
            port=section["port"],
            username=section.get("username") or "",
            password=section.get("password") or "",
            tls=bool(section.get("sslMode")),
        )

    def kafka(self) -> KafkaPlace:
        """Return the brokers, with the first one's way of logging in."""
        brokers = self._section("kafka", "brokers")["brokers"]
        first = brokers[0]
        servers = tuple(
            f"{broker['hostname']}:{broker['port']}" if broker.get("port") else broker["hostname"]
            for broker in brokers
        )
        sasl = first.get("sasl") or {}
        if not sasl.get("username"):
            return KafkaPlace(
                servers=servers,
                security_protocol=first.get("securityProtocol") or None,
                ca=first.get("cacert") or None,
            )
        return KafkaPlace(
            servers=servers,
            security_protocol=sasl.get("securityProtocol") or first.get("securityProtocol"),
            sasl_mechanism=sasl.get("saslMechanism"),
            sasl_username=sasl["username"],
            sasl_password=sasl.get("password"),
            ca=first.get("cacert") or None,
        )

    def topic(self, requested: str, default: str) -> str:
        """Return the real name of a requested topic, its default if it is not listed."""
        for topic in (self._data.get("kafka") or {}).get("topics") or ():
            if topic.get("requestedName") == requested:
                return topic.get("name") or default
        return default

    def endpoint(self, app: str, name: str | None = None) -> dict[str, Any] | None:
        """Return an endpoint of an application that this one depends on: the last one listed."""
        found = None
        for endpoint in self._data.get("endpoints") or ():
            if endpoint.get("app") == app and name in (None, endpoint.get("name")):
                found = endpoint
        return found

    def endpoint_url(self, app: str) -> tuple[str, str | None] | None:
        """Return an application's URL and, if it is served with TLS, the path of the CA file."""
        endpoint = self.endpoint(app)
        if endpoint is None:
            return None
        ca_path = self._data.get("tlsCAPath")
        if endpoint.get("tlsPort") and ca_path:
            return f"https://{endpoint['hostname']}:{endpoint['tlsPort']}", ca_path
        return f"http://{endpoint['hostname']}:{endpoint['port']}", None

    def cloudwatch(self) -> CloudWatchPlace | None:
        """Return where log lines should go, if Clowder says so."""
        section = (self._data.get("logging") or {}).get("cloudwatch") or {}
        if not section.get("accessKeyId") or not section.get("secretAccessKey"):
            return None
        return CloudWatchPlace(
            region=section.get("region") or "us-east-1",
            log_group=section.get("logGroup") or "",
            access_key_id=section["accessKeyId"],
            secret_access_key=section["secretAccessKey"],
        )

    def _section(self, name: str, *members: str) -> dict[str, Any]:
        section = self._data.get(name)
        if not isinstance(section, dict):
            raise ClowderError(f"ACG_CONFIG: section {name} is missing")
        missing = [member for member in members if section.get(member) in (None, "", [])]
        if missing:
            raise ClowderError(f"ACG_CONFIG: section {name} lacks {', '.join(missing)}")
        return section


def certificate_file(text: str) -> str:
    """Write a CA certificate to a private temporary file, removed when this process ends."""
    descriptor, path = tempfile.mkstemp(prefix="cloudigrade-ca-", suffix=".pem")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    owner = os.getpid()

    def remove() -> None:
        # A forked child inherits this hook but not the file.
        if os.getpid() == owner:
            Path(path).unlink(missing_ok=True)

    atexit.register(remove)
    return path
