#!/usr/bin/env python3
"""Configures PgBouncer for one database, and becomes it (spec 08 §16).

The database is that of Clowder's file, named by ACG_CONFIG, which is waited for; else that of

    DB_HOST, DB_PORT (5432), DB_NAME, DB_USER, DB_PASSWORD, DB_SSL_MODE (PgBouncer's default)

It listens on port 5432, or Clowder's web port. POOL_MODE is session by default. Beside PgBouncer's
configuration it leaves a service "postigrade" for psql and pg_isready, which probes use, in the
folder that RUN_DIRECTORY names. Needs nothing but Python and PgBouncer.
"""

import json
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORT = 5432
SINGLE, DOUBLE = "'", '"'
SECONDS_BETWEEN_LOOKS = 5


@dataclass(frozen=True)
class Setup:
    """Which database there is a pool for, and where it listens."""

    host: str
    port: int
    name: str
    user: str
    password: str
    ssl_mode: str
    certificate: str
    listen_port: int


def setup_of_clowder(configuration: dict[str, Any]) -> Setup:
    """Read Clowder's file."""
    database = configuration["database"]
    return Setup(
        host=database["hostname"],
        port=database["port"],
        name=database["name"],
        user=database["username"],
        password=database["password"],
        ssl_mode=database.get("sslMode") or "",
        certificate=database.get("rdsCa") or "",
        listen_port=configuration.get("webPort") or configuration["publicPort"],
    )


def setup_of_variables(variables: dict[str, str]) -> Setup:
    """Read the environment; raises SystemExit if it tells of no database."""
    required = ("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD")
    if missing := [name for name in required if not variables.get(name)]:
        sys.exit(f"{', '.join(missing)} must be set")
    return Setup(
        host=variables["DB_HOST"],
        port=int(variables.get("DB_PORT") or PORT),
        name=variables["DB_NAME"],
        user=variables["DB_USER"],
        password=variables["DB_PASSWORD"],
        ssl_mode=variables.get("DB_SSL_MODE", ""),
        certificate="",
        listen_port=PORT,
    )


def wait_for(host: str, port: int) -> None:
    """Wait until somebody listens there, however long it takes."""
    while True:
        try:
            socket.create_connection((host, port), timeout=SECONDS_BETWEEN_LOOKS).close()
            return
        except OSError as error:
            print(f"Waiting for {host}:{port}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            time.sleep(SECONDS_BETWEEN_LOOKS)


def quoted(text: str, mark: str) -> str:
    """Put a text between marks, those in it doubled, as PgBouncer reads it."""
    return f"{mark}{text.replace(mark, mark * 2)}{mark}"


def configuration(setup: Setup, folder: Path, pool_mode: str) -> str:
    """Return PgBouncer's configuration; what is not in it has its default."""
    place = f"host={quoted(setup.host, SINGLE)} port={setup.port}"
    lines = [
        "[databases]",
        f"{setup.name} = {place} dbname={quoted(setup.name, SINGLE)}",
        "[pgbouncer]",
        "listen_addr = 0.0.0.0",
        f"listen_port = {setup.listen_port}",
        "unix_socket_dir =",
        "auth_type = scram-sha-256",
        f"auth_file = {folder / 'userlist.txt'}",
        "admin_users = postgres",
        f"pool_mode = {pool_mode}",
        "ignore_startup_parameters = extra_float_digits",
    ]
    if setup.ssl_mode:
        lines.append(f"server_tls_sslmode = {setup.ssl_mode}")
    if setup.certificate:
        lines.append(f"server_tls_ca_file = {folder / 'ca.pem'}")
    return "\n".join(lines) + "\n"


def service(setup: Setup) -> str:
    """Return the service that probes connect to: ourselves, without TLS."""
    return (
        f"[postigrade]\nhost=127.0.0.1\nport={setup.listen_port}\ndbname={setup.name}\n"
        f"user={setup.user}\npassword={setup.password}\nsslmode=disable\nconnect_timeout=2\n"
    )


def main() -> None:
    """Write the files and become PgBouncer."""
    clowder = os.environ.get("ACG_CONFIG")
    if clowder:
        setup = setup_of_clowder(json.loads(Path(clowder).read_text()))
        wait_for(setup.host, setup.port)
    else:
        setup = setup_of_variables(dict(os.environ))
    folder = Path(os.environ["RUN_DIRECTORY"])
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o077)
    files = {
        "pgbouncer.ini": configuration(setup, folder, os.environ.get("POOL_MODE") or "session"),
        "userlist.txt": f"{quoted(setup.user, DOUBLE)} {quoted(setup.password, DOUBLE)}\n",
        "ca.pem": setup.certificate,
        "pg_service.conf": service(setup),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        sys.exit("There is no program pgbouncer")
    os.execv(program, [program, str(folder / "pgbouncer.ini")])  # noqa: S606 - this is the point


if __name__ == "__main__":
    main()
