"""The data model as a whole."""

import pytest
from django.core.management import call_command

from api.models import CloudAccount, User


@pytest.mark.django_db
def test_migrations_match_the_models():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_a_new_user_has_a_task_lock_and_no_password():
    user = User.objects.create_user(account_number="1701")
    assert user.task_lock.locked is False
    assert not user.has_usable_password()
    assert CloudAccount.objects.filter(user=user).count() == 0
