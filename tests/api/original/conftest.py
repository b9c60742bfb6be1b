import pytest

from tests.api.original.database import original_database


@pytest.fixture
def original(db, queued):
    """An empty database of the original with all its constraints."""
    with original_database("the_original") as database:
        yield database


@pytest.fixture
def lenient(db, queued):
    """One without constraints, for what must not be there."""
    with original_database("the_broken_original", strict=False) as database:
        yield database
