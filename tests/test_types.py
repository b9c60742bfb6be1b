"""What mypy sees of models and settings, with the plugins that ``make lint`` runs it with."""

import subprocess
import sys

from deployment.local.service import REPOSITORY

WRONG = """
from django.conf import settings

from api.models import Run

Run.objects.filter(nonsense=1)
Run.objects.values_list("nonsense")
Run(nonsense=1)
settings.NONSENSE
text: str = Run.objects.get().instance_id
"""

RIGHT = """
from django.conf import settings

from api.models import Run

Run.objects.filter(instance__cloud_account__user_id=1, start_time__lt="2026-01-01")
number: int = Run.objects.get().instance_id
settings.ENABLE_AZURE_VM_DISCOVERY
"""


def complaints(tmp_path, source):
    path = tmp_path / "queries.py"
    path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return [line.partition(": error: ")[::2] for line in done.stdout.splitlines()]


def test_a_query_that_names_no_field_is_an_error(tmp_path):
    """Issue 16, item 2: ``filter(nonsense=1)`` fails."""
    found = {
        int(place.rpartition(":")[2]): message for place, message in complaints(tmp_path, WRONG)
    }
    assert sorted(found) == [6, 7, 8, 9, 10]
    assert "Cannot resolve keyword 'nonsense' into field" in found[6]


def test_one_that_names_fields_is_none(tmp_path):
    assert complaints(tmp_path, RIGHT) == []
