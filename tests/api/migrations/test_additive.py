"""The previous version works on a migrated database, so a roll-out can be undone (operations 6)."""

from collections.abc import Iterator

import pytest
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED

TAKES_AWAY = (migrations.DeleteModel, migrations.RemoveField, migrations.AlterModelTable)
RENAMES = (migrations.RenameModel, migrations.RenameField)

OURS = {
    name: migration
    for (app, name), migration in MigrationLoader(None).disk_migrations.items()
    if app == "api" and not name.startswith("0001")
}


def flat(operations: list[Operation]) -> Iterator[Operation]:
    for one in operations:
        yield one
        if isinstance(one, migrations.SeparateDatabaseAndState):
            yield from flat(one.state_operations)
            yield from flat(one.database_operations)


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_migration_leaves_what_the_previous_version_uses(name):
    """Nothing is dropped, what is renamed stays as a view, rows without a new column can be stored.

    A field may be renamed whose column keeps its name.
    What writes its own SQL has tests of its own in this folder.
    """
    operations = list(flat(OURS[name].operations))
    created = {one.name_lower for one in operations if isinstance(one, migrations.CreateModel)}
    assert not [one for one in operations if isinstance(one, TAKES_AWAY)]
    columns = {
        one.name
        for one in operations
        if isinstance(one, migrations.AlterField) and one.field.db_column == one.name
    }
    renames = [one for one in operations if isinstance(one, RENAMES)]
    if any(getattr(one, "old_name", None) not in columns for one in renames):
        statements = [str(one.sql) for one in operations if isinstance(one, migrations.RunSQL)]
        assert any("CREATE VIEW" in one for one in statements)
    for one in operations:
        if isinstance(one, migrations.AddField) and one.model_name_lower not in created:
            assert one.field.null or one.field.db_default is not NOT_PROVIDED, one.describe()
