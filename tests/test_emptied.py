"""The database is empty after tests that commit."""

import pytest
from django.contrib.auth.models import Permission

from api.models import CloudAccount, Run, User
from tests import emptied, factories
from util import clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("users", [1, emptied._FEW + 1])
def test_what_tests_wrote_is_removed_and_what_migrations_wrote_stays(users):
    """Few rows are deleted, many truncated; what refers to them goes in both ways."""
    factories.make_run(instance=factories.make_instance(), start=clock.now())
    User.objects.bulk_create(
        User(account_number=f"{number}", org_id=f"{number}") for number in range(users)
    )
    permissions = Permission.objects.count()
    assert permissions
    emptied.empty()
    assert [model.objects.count() for model in (User, CloudAccount, Run)] == [0, 0, 0]
    assert Permission.objects.count() == permissions
