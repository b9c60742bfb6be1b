"""PostgreSQL (spec 08 §4 C, §5)."""

from typing import Any

from cloudigrade.settings.environment import clowder, env
from util.clowder import DatabasePlace, certificate_file

# What libpq does on our side of the connection: a server that is gone without a word, such as one
# whose machine was lost, is noticed within a minute. Nothing of it reaches PostgreSQL or a pooler.
_NOTICE_SILENCE = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def _place() -> DatabasePlace:
    if clowder is not None:
        return env.attempt(clowder.database, DatabasePlace("", "", 0, "", ""))
    return DatabasePlace(
        name=env("DJANGO_DATABASE_NAME"),
        host=env("DJANGO_DATABASE_HOST"),
        port=env("DJANGO_DATABASE_PORT"),
        user=env("DJANGO_DATABASE_USER"),
        password=env("DJANGO_DATABASE_PASSWORD"),
    )


def _options(place: DatabasePlace) -> dict[str, Any]:
    options = {
        "sslmode": place.sslmode or env("DJANGO_DATABASE_SSLMODE"),
        "sslrootcert": certificate_file(place.ca)
        if place.ca
        else env("DJANGO_DATABASE_SSLROOTCERT"),
    }
    return _NOTICE_SILENCE | {name: value for name, value in options.items() if value}


_database = _place()

DATABASES = {
    "default": {
        "ENGINE": env("DJANGO_DATABASE_ENGINE"),
        "NAME": _database.name,
        "HOST": _database.host,
        "PORT": _database.port,
        "USER": _database.user,
        "PASSWORD": _database.password,
        "ATOMIC_REQUESTS": env("DJANGO_ATOMIC_REQUESTS"),
        "CONN_MAX_AGE": env("DJANGO_DATABASE_CONN_MAX_AGE"),
        "CONN_HEALTH_CHECKS": env("DJANGO_DATABASE_CONN_HEALTH_CHECKS"),
        # A pooler between us and PostgreSQL may hand each transaction another connection.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": _options(_database),
    }
}

DJANGO_DATABASE_REPLICA_MAX_LAG = env("DJANGO_DATABASE_REPLICA_MAX_LAG")
DATABASE_ROUTERS: list[str] = []
if _replica_host := env("DJANGO_DATABASE_REPLICA_HOST"):
    DATABASES["replica"] = {
        **DATABASES["default"],
        "NAME": env("DJANGO_DATABASE_REPLICA_NAME") or _database.name,
        "HOST": _replica_host,
        "PORT": env("DJANGO_DATABASE_REPLICA_PORT") or _database.port,
        "USER": env("DJANGO_DATABASE_REPLICA_USER") or _database.user,
        "PASSWORD": env("DJANGO_DATABASE_REPLICA_PASSWORD") or _database.password,
        # A request that does not read from it must not wait for it.
        "ATOMIC_REQUESTS": False,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**_options(_database), "connect_timeout": 2},
        "TEST": {"MIRROR": "default"},
    }
    DATABASE_ROUTERS.append("util.replica.ReplicaRouter")

COMMAND_LOCK_TIMEOUT = 60
"""Seconds; whoever starts a command would rather wait than start it again."""


def _limits(statement: int, lock: int = env("DJANGO_DATABASE_LOCK_TIMEOUT")) -> dict[str, int]:
    idle = env("DJANGO_DATABASE_IDLE_TRANSACTION_TIMEOUT")
    return {"lock": lock, "statement": statement, "idle": idle}


DATABASE_LIMITS = {
    kind: _limits(env(f"DJANGO_DATABASE_{kind.upper()}_STATEMENT_TIMEOUT"))
    for kind in ("api", "worker", "beat", "listener")
} | {"command": _limits(0, COMMAND_LOCK_TIMEOUT)}
"""How long transactions of each kind of process wait and work, see ``util.transaction_limits``."""

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
