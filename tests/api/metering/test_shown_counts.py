"""Counts that are stored as they are shown, so that nothing decodes them (docs/decisions/0181)."""

import pytest
from django.db import connection

from api.metering import count_text, reports
from api.metering.count_text import named_counts, shown_counts
from api.models import ConcurrentUsage
from tests import factories
from tests.api.metering.notation import day

ODD = 'quote " backslash \\ slash / tab \t bell \x07 del \x7f é 日本 😀 <&>\u2028 ], ['
WRONG = '[{"instances_count":99}]'

_OF_THE_PREVIOUS_VERSION = """
UPDATE api_concurrentusage SET maximum_counts = '[]', revision = revision + 1, computed_at = now()
"""
"""What the version that does not know the text changes."""


@pytest.fixture
def every_text(monkeypatch):
    """Any text is worth storing."""
    monkeypatch.setattr(count_text, "WORTH_STORING", range(1_000_000))


def written(row):
    """Return the counts of a row as they were shown before there was a text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT maximum_counts::text FROM api_concurrentusage WHERE id = %s", [row.id]
        )
        return named_counts(cursor.fetchone()[0])


def shown(environment, number=10):
    """Return what readers are given of a day."""
    days = reports.daily_usage(
        user_id=environment.user.id, first_day=day(number), last_day=day(number)
    )
    return named_counts(days[day(number)].counts)


def test_each_revision_stores_what_would_be_written(environment, every_text):
    """The same bytes, whatever the texts of the keys; a deleted row too begins with its own."""
    image = environment.image()
    image.role = ODD[:64]
    image.save()
    for revision in (1, 2, 3):
        environment.instance("on 10T01, off 10T02", image=image)
        environment.recalculate(f"11T0{revision}")
        for row in ConcurrentUsage.objects.all():
            assert row.shown_counts == written(row)
            assert row.shown_revision == row.revision
        assert environment.row(10).revision == revision
        assert shown(environment) == environment.row(10).shown_counts
        if revision == 2:
            ConcurrentUsage.objects.all().delete()
            environment.recalculate("11T02")
            assert environment.row(10).shown_revision == environment.row(10).revision == 2


def test_readers_copy_the_text(environment, every_text):
    """They do not write the counts anew, else a wrong text would not show."""
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    ConcurrentUsage.objects.update(shown_counts=WRONG)
    assert shown(environment) == WRONG


def test_the_text_of_another_revision_is_not_shown(environment, every_text):
    """The previous version, which may still run, changes the counts and not their text."""
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    with connection.cursor() as cursor:
        cursor.execute(_OF_THE_PREVIOUS_VERSION)
    assert shown(environment) == "[]"
    factories.make_stale(user=environment.user, first_day=day(10))
    environment.recalculate("11T02")
    assert shown(environment) == written(environment.row(10)) == environment.row(10).shown_counts


def test_rows_without_a_text_are_shown(environment, every_text):
    """Those that were calculated before there were texts."""
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    before = shown(environment)
    ConcurrentUsage.objects.update(shown_counts=None, shown_revision=None)
    assert shown(environment) == before


@pytest.mark.parametrize(
    ("entries", "is_stored"), [(0, False), (10, False), (100, True), (10_000, False)]
)
def test_only_texts_of_some_length_are_worth_it(entries, is_stored):
    """Short ones are written quickly, and long ones would be in memory twice (decision 43)."""
    rows = ", ".join(f'["a", "role {number}", "", "", "", 1]' for number in range(entries))
    text = shown_counts(f"[{rows}]")
    assert (text is not None) == is_stored
    assert text is None or text == named_counts(f"[{rows}]")
