"""How long pages take, how heavy they are, and what browsers keep of them (spec 12 §1)."""

import re

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from api.console import fleet as fleet_page
from api.models import AuditEntry
from api.overview.samples import take_sample
from tests import factories
from tests.api.console.conftest import pages_of

pytestmark = pytest.mark.django_db


def test_page_that_takes_too_long_is_503(environment, anybody, monkeypatch):
    """A statement that takes too long is no fault of the page (decision 42)."""
    before = fleet_page.fleet

    def slow():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1")
            cursor.execute("SELECT pg_sleep(10)")

    monkeypatch.setattr(fleet_page, "fleet", slow)
    answer = anybody.get("/", 503)
    assert answer["Retry-After"] == "5"
    assert "pg_sleep" not in answer.content.decode()
    monkeypatch.setattr(fleet_page, "fleet", before)
    anybody.get("/")


def test_page_weight(environment, anybody):
    """A page with all that it loads has at most 150 KB (bound of spec 12 §1)."""
    for path in pages_of(environment):
        page = anybody.get(path)
        loaded = re.findall(
            r'(?:src|href)="(/internal/console/static/[^"]+)"', page.content.decode()
        )
        assert loaded
        weight = len(page.content) + sum(len(anybody.get(url).content) for url in loaded)
        assert weight <= 150 * 1024, (path, weight)


def test_assets_are_kept_by_browsers(db, anybody):
    url = re.search(r'href="([^"]+console.css)"', anybody.get("/search/").content.decode())[1]
    answer = anybody.get(url)
    assert "immutable" in answer["Cache-Control"]
    old = re.sub(r"/[0-9a-f]{12}/", "/000000000000/", url)
    assert anybody.get(old)["Cache-Control"] == "no-store"


def test_statements_do_not_grow_with_rows(environment, anybody):
    """No page takes more statements for more rows; the fleet takes 15 at most."""

    def statements():
        found = {}
        for path in pages_of(environment):
            with CaptureQueriesContext(
                connection,
            ) as captured:
                anybody.get(path)
            found[path] = len(captured)
        return found

    take_sample(findings=[])
    AuditEntry.objects.create(actor="x", action="reinspect", outcome="done")
    for status in ("error", "pending"):
        environment.instance("on 10T01", image=factories.make_rhel_image(status=status))
    environment.recalculate(since="08T00")
    few = statements()
    for number in range(20):
        environment.instance("on 10T02", image=factories.make_rhel_image(status="error"))
        factories.make_aws_account(user=environment.user)
        AuditEntry.objects.create(actor=str(number), action="reinspect", outcome="done")
    environment.store(environment.first, "on 10T11, off 10T12, on 10T13, off 10T14")
    environment.recalculate(since="08T00")
    assert statements() == few
    assert few["/"] <= 15
