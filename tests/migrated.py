"""A PostgreSQL data folder with all migrations applied, made once and copied ever after.

Making a cluster and migrating it costs four seconds of processor, copying it a tenth of one. The
folder is kept in ``build/`` under the hash of what it was made of. It holds two databases that are
alike: that of the product's processes, and that of the tests.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2

from deployment.local.postgres import Postgres, find_binaries
from deployment.local.service import REPOSITORY, Surroundings

DATABASE_OF_TESTS = "test_postgres"

_SECONDS_TO_MIGRATE = 300.0
_SECONDS_TO_STOP = 60.0
_KEPT = 2
_HOME = REPOSITORY / "build" / "migrated"


class _NewPostgres(Postgres):
    """PostgreSQL on a data folder that is made anew, in which nothing is migrated."""

    @staticmethod
    def template() -> None:
        """Return that there is none."""


@functools.cache
def data_folder() -> Path:
    """Return the folder; make it if what it is made of has changed.

    Raises LocalServiceError if PostgreSQL does not start, CalledProcessError if migrating fails.
    """
    _HOME.mkdir(parents=True, exist_ok=True)
    folder = _HOME / _key()
    with (_HOME / "lock").open("w") as lock:
        # The processes of pytest-xdist need it at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make(folder)
            _remove_old_ones()
        os.utime(folder)
    return folder


def _key() -> str:
    made_of = hashlib.sha256(str(find_binaries()).encode())
    for path in sorted(_sources()):
        made_of.update(path.name.encode())
        made_of.update(path.read_bytes())
    return made_of.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    yield Path(__file__)
    yield REPOSITORY / "requirements.lock"
    yield REPOSITORY / "deployment" / "local" / "postgres.py"
    yield REPOSITORY / "cloudigrade" / "settings" / "base.py"
    yield REPOSITORY / "util" / "migrations.py"
    for package in ("migrations", "models"):
        yield from (REPOSITORY / "api" / package).glob("*.py")


def _make(folder: Path) -> None:
    surroundings = Surroundings()
    server = _NewPostgres(surroundings)
    try:
        server.launch()
        server.wait_until_ready()
        _migrate(server)
        assert server.process is not None
        server.process.request_stop()
        server.process.wait_for_success(timeout=_SECONDS_TO_STOP)
        with tempfile.TemporaryDirectory(dir=_HOME) as unfinished:
            shutil.copytree(server.data, Path(unfinished) / "data")
            (Path(unfinished) / "data").rename(folder)
    finally:
        server.stop()
        surroundings.close()


def _migrate(server: Postgres) -> None:
    environment = {
        **os.environ,
        **server.env,
        "CLOUDIGRADE_ENVIRONMENT": "test",
        "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.test",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        timeout=_SECONDS_TO_MIGRATE,
    )
    # Nobody may be connected to what is copied.
    with closing(psycopg2.connect(server.address, dbname="template1")) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE_OF_TESTS} TEMPLATE postgres")


def _remove_old_ones() -> None:
    folders = [path for path in _HOME.iterdir() if path.is_dir()]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(folder)
