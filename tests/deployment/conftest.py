"""A program that no Python package brings."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment import pgbouncer


@pytest.fixture(scope="session")
def pgbouncer_program() -> Iterator[Path]:
    """PgBouncer, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="cloudigrade-pgbouncer-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        program = pgbouncer.find(folder)
        if program is None:
            pytest.skip("PgBouncer is neither here nor to be had")
        yield program
    finally:
        shutil.rmtree(folder)
