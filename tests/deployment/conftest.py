"""Services that a test may break, and programs that no Python package brings."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployment.local.local_services import LocalServices
from tests.deployment import debian


@contextmanager
def _program_of(package: str, program: str) -> Iterator[Path]:
    """Find a program of a Debian package, or skip the test; every user may run it."""
    folder = Path(tempfile.mkdtemp(prefix=f"cloudigrade-{program}-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        found = debian.find(package, program, folder)
        if found is None:
            pytest.skip(
                f"{program} is neither on this machine nor to be had from Debian's {package}"
            )
        yield found
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pgbouncer_program() -> Iterator[Path]:
    """PgBouncer."""
    with _program_of("pgbouncer", "pgbouncer") as program:
        yield program


@pytest.fixture(scope="session")
def promtool() -> Iterator[Path]:
    """Prometheus' tool that tests rules and checks the names of metrics."""
    with _program_of("prometheus", "promtool") as program:
        yield program


@pytest.fixture
def services(tmp_path: Path) -> Iterator[LocalServices]:
    """All that the product needs but Azure, for one test only."""
    with LocalServices(
        ["postgres", "valkey", "kafka", "aws", "sources"], environment={}, scratch_parent=tmp_path
    ) as started:
        yield started
