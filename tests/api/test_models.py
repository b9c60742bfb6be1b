"""The data model as a whole."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.models import BigAutoField, UniqueConstraint

from api.models import CloudAccount, InstanceEvent, Run, User


@pytest.mark.django_db
def test_migrations_match_the_models():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_a_new_user_has_a_task_lock_and_no_password():
    user = User.objects.create_user(account_number="1701")
    assert user.task_lock.locked is False
    assert not user.has_usable_password()
    assert CloudAccount.objects.filter(user=user).count() == 0


def test_keys_are_fit_for_partitions_by_month():
    """09 P12."""
    for model in (InstanceEvent, Run):
        assert isinstance(model._meta.pk, BigAutoField)
        assert model._meta.get_field("cloud_account")
    unique = [
        constraint
        for constraint in InstanceEvent._meta.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    assert all("occurred_at" in constraint.fields for constraint in unique)
    referring = [
        field
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.is_relation and field.concrete and field.related_model is InstanceEvent
    ]
    assert referring == []
