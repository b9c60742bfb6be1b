"""Django's admin shows our own work, read-only (spec 12 §2)."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from api.admin import SHOWN
from api.internal.records import RESOURCES
from api.models import SetAsideTask, User
from tests.api.internal.record_rows import IDENTITY, Subject, store_records
from tests.factories import make_aws_account, make_aws_image, make_instance, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject():
    account = make_aws_account(user=make_user())
    image = make_aws_image()
    subject = Subject(account.user, account, image, make_instance(account=account, image=image))
    store_records(subject, first=1, count=1)
    SetAsideTask.objects.create(work="w", message={"secret": IDENTITY}, lost_processes=3)
    return subject


@pytest.fixture
def operator():
    client = Client()
    client.force_login(User.objects.create_superuser("operator", password="x"))
    return client


def test_all_that_the_routes_show_is_there():
    assert {one.rows().model for one in RESOURCES} <= set(SHOWN) <= set(admin.site._registry)


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model.__name__)
def test_rows_are_shown_and_cannot_be_changed(subject, operator, model):
    name = f"admin:api_{model._meta.model_name}"
    row = model.objects.first()
    listed = operator.get(reverse(f"{name}_changelist"))
    url = reverse(f"{name}_change", args=[row.pk])
    shown = operator.get(url)
    assert (listed.status_code, shown.status_code) == (200, 200)
    for page in (listed, shown):
        text = page.content.decode()
        assert IDENTITY.rstrip("=") not in text
        assert "secret" not in text
    for path in (url, reverse(f"{name}_add"), reverse(f"{name}_delete", args=[row.pk])):
        assert operator.post(path, {}).status_code == 403
    assert list(model.objects.values()) != []


def test_lists_take_the_same_statements_for_more_rows(subject, operator):
    """Acceptance 5."""

    def count(url):
        with CaptureQueriesContext(connection) as counted:
            assert operator.get(url).status_code == 200
        return len(counted)

    urls = [reverse(f"admin:api_{model._meta.model_name}_changelist") for model in SHOWN]
    before = [count(url) for url in urls]
    store_records(subject, first=2, count=20)
    assert [count(url) for url in urls] == before


def test_nobody_else_comes_in(subject):
    assert Client().get(reverse("admin:api_inboxmessage_changelist")).status_code == 302
