"""Services that a test may break, and a program that no Python package brings."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.local.world import LocalServices
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


@pytest.fixture
def services(tmp_path: Path) -> Iterator[LocalServices]:
    """All that the product needs but Azure, for one test only."""
    with LocalServices(
        ["postgres", "valkey", "kafka", "aws", "sources"], environment={}, scratch_parent=tmp_path
    ) as started:
        yield started
