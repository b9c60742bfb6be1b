"""docs/inspector.md shows what the inspector says of each disk of the corpus."""

from deployment.local.service import REPOSITORY
from tests.api.inspector.corpus import table


def test_the_table_of_facts_is_true():
    shown = (REPOSITORY / "docs" / "inspector.md").read_text()
    for line in table.lines():
        assert line in shown
