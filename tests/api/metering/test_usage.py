"""Which days are calculated, what is written and remembered (spec 07 §6, 09 P10, P11)."""

import datetime
import json
import random

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.images.changes import change_images
from api.metering import recalculate, usage, window
from api.metering.days import Days
from api.metering.facets import ANY, Key
from api.metering.reports import daily_usage
from api.metering.runs import recalculate_runs
from api.models import (
    Cause,
    ConcurrentUsage,
    ImageFact,
    Instance,
    StaleUsage,
    UsageRevision,
    User,
)
from tests import factories
from tests.api.metering.comparison import compare_with_reference
from tests.api.metering.notation import at, day, key


def calculate(environment, now="12T01", **arguments):
    with time_machine.travel(at(now), tick=False):
        return usage.calculate_usage(user_id=environment.user.id, **arguments)


def dates(user):
    return list(
        ConcurrentUsage.objects.filter(user=user).order_by("date").values_list("date", flat=True)
    )


def test_row_tells_when_and_by_what_it_was_calculated(environment, settings):
    settings.CLOUDIGRADE_VERSION = "abc123"
    calculate(environment, missing=[Days(day(12), day(12))])
    row = ConcurrentUsage.objects.get()
    assert (row.user, row.date, row.maximum_counts) == (environment.user, day(12), [])
    assert (row.revision, row.algorithm, row.code_version) == (1, window.ALGORITHM, "abc123")
    assert row.computed_at == row.created_at == row.updated_at == at("12T01")


def test_unknown_customer(db):
    assert usage.calculate_usage(user_id=999_999_999, missing=[Days(day(1), day(2))]).written == 0
    recalculate.recalculate_usage_of_user(user_id=999_999_999)
    recalculate.recalculate_usage_of_user_on(user_id=999_999_999, day=day(1))
    assert not ConcurrentUsage.objects.exists()


def test_future_days_never_are(environment):
    calculate(environment, missing=[Days(day(11), day(20))])
    assert dates(environment.user) == [day(11), day(12)]
    assert calculate(environment, missing=[Days(day(13), None)]).calculated == 0


@pytest.mark.parametrize("text", ["on 12T12, off 13T02", "on 13T02", "on 13T02, off 13T03"])
def test_a_worker_whose_clock_is_behind_leaves_no_day_wrong(environment, text):
    """Decision 41: the day has a row already, of a worker for which it has begun.

    The mark goes, so the row has to be right, though by this worker's clock the day is to come.
    """
    image = environment.image()
    environment.recalculate("13T00:01")
    assert environment.total(13) == 0
    instance = environment.instance(text, image=image)
    recalculate_runs(user_id=environment.user.id, instance_ids=[instance.id])
    assert environment.total(13) is None
    environment.settle("12T23:57")
    assert not StaleUsage.objects.exists()
    assert environment.total(13) == 1


def test_by_default_all_days_since_joining_are_looked_for(environment):
    """Decision 39."""
    User.objects.filter(id=environment.user.id).update(date_joined=at("07T23"))
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    assert dates(environment.user) == [day(number) for number in range(7, 13)]


def test_long_ago_is_calculated_in_several_transactions(environment, monkeypatch):
    """Decision 39: the newest days come first, and each transaction is bounded."""
    monkeypatch.setattr(recalculate, "DAYS_AT_ONCE", 3)
    original, portions = recalculate.calculate_usage, []

    def calculating(*, user_id, missing):
        portions.append([(first.day, last.day) for first, last in missing])
        return original(user_id=user_id, missing=missing)

    monkeypatch.setattr(recalculate, "calculate_usage", calculating)
    User.objects.filter(id=environment.user.id).update(date_joined=at("03T00"))
    factories.make_usage(user=environment.user, date=day(9))
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    assert portions == [[(10, 12)], [(6, 8)], [(3, 5)], []]
    assert dates(environment.user) == [day(number) for number in range(3, 13)]


def test_one_day(environment):
    environment.instance("on 10T01, off 10T02")
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_runs_of_account(account_id=environment.account.id)
        StaleUsage.objects.all().delete()
        recalculate.recalculate_usage_of_user_on(user_id=environment.user.id, day=day(10))
        recalculate.recalculate_usage_of_user_on(user_id=environment.user.id, day=day(13))
    assert dates(environment.user) == [day(10)]
    assert environment.total(10) == 1


def test_day_before_the_customer_joined_only_if_it_has_a_row(environment):
    User.objects.filter(id=environment.user.id).update(date_joined=at("10T12"))
    factories.make_usage(user=environment.user, date=day(8))
    factories.make_stale(user=environment.user, first_day=day(5), last_day=day(11))
    calculate(environment)
    assert dates(environment.user) == [day(8), day(10), day(11)]
    assert not StaleUsage.objects.exists()


def test_revision_grows_only_with_the_counts(environment):
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    factories.make_stale(user=environment.user, first_day=day(10), last_day=day(11))
    before = environment.row(10)
    assert environment.total(10) is None
    calculate(environment, "11T02")
    after = environment.row(10)
    assert (after.id, after.revision, after.updated_at) == (before.id, 1, before.updated_at)
    assert after.computed_at == at("11T02")
    assert not UsageRevision.objects.exists()
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T03")
    changed = environment.row(10)
    assert (changed.id, changed.revision) == (before.id, 2)
    assert changed.updated_at == changed.computed_at == at("11T03")
    assert changed.created_at == before.created_at


def test_change_of_order_alone_is_no_change(environment):
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    row = environment.row(10)
    row.maximum_counts = row.maximum_counts[::-1]
    row.save()
    factories.make_stale(user=environment.user, first_day=day(10))
    calculate(environment, "11T02")
    assert environment.row(10).revision == 1


def test_revision_is_explained(environment):
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    second = environment.instance("on 10T01, off 10T03")
    recalculate_runs(user_id=environment.user.id, instance_ids=[second.id])
    factories.make_stale(user=environment.user, first_day=day(10), cause=Cause.OPERATOR, refs=[7])
    calculate(environment, "11T02")
    revision = UsageRevision.objects.get()
    assert (revision.user, revision.date, revision.revision) == (environment.user, day(10), 2)
    assert (revision.total_before, revision.total_after) == (1, 2)
    assert revision.computed_at == at("11T02")
    assert revision.causes == [Cause.RUN_ADDED, Cause.OPERATOR]
    assert revision.refs == [second.runs.get().id, 7]
    assert len(revision.changed_keys) == 20
    assert revision.changed_keys[0] == [ANY, ANY, ANY, ANY, ANY, 1, 2]


def test_revision_survives_the_row(environment):
    """A row that was deleted and comes back continues where it was."""
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T02")
    ConcurrentUsage.objects.all().delete()
    environment.recalculate("11T03")
    assert environment.row(10).revision == 2
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T04")
    assert environment.row(10).revision == 3


def test_odd_texts_are_stored_and_recognised(environment):
    """Values that JSON writes in several ways do not count as changed."""
    role = 'quote " backslash \\ slash / tab \t newline \n bell \x07 del \x7f é 日本 😀 <&>\u2028'
    image = environment.image()
    image.role = role[:64]
    image.save()
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert environment.counts(10)[key(role=role[:64])] == 1
    factories.make_stale(user=environment.user, first_day=day(10))
    assert calculate(environment, "11T02").written == 0


def test_statements_do_not_grow_with_days_or_runs(environment):
    counts = {}
    for number in (10, 1000):
        instances = environment.many(number, "on 01T00")
        recalculate_runs(user_id=environment.user.id, instance_ids=[one.id for one in instances])
        ConcurrentUsage.objects.all().delete()
        first = day(12) - datetime.timedelta(days=number // 20)
        with CaptureQueriesContext(connection) as cold:
            calculate(environment, missing=[Days(first, day(12))])
        factories.make_stale(user=environment.user, first_day=first)
        with CaptureQueriesContext(connection) as same:
            calculate(environment)
        counts[number] = (len(cold), len(same))
    assert counts[10] == counts[1000]
    assert max(counts[1000]) <= 20


def test_holes_are_swept_apart_and_the_days_between_are_left_alone(environment):
    environment.instance("on 2023-01-05T01", stored="2023-01-05T02")
    environment.recalculate("2023-03-12T01", since="2023-01-01T00")
    before = ConcurrentUsage.objects.values_list("date", "computed_at")
    before = dict(before)
    for first in ("2023-01-10", "2023-01-12", "2023-03-11"):
        first_day = datetime.date.fromisoformat(first)
        factories.make_stale(user=environment.user, first_day=first_day, last_day=first_day)
    assert calculate(environment, "12T02").calculated == 3
    after = dict(ConcurrentUsage.objects.values_list("date", "computed_at"))
    assert {date for date in after if after[date] != before[date]} == {
        datetime.date(2023, 1, 10),
        datetime.date(2023, 1, 12),
        datetime.date(2023, 3, 11),
    }


def test_images_known_to_several_customers(environment):
    """Each customer's days are withdrawn and calculated alone."""
    image = environment.plain_image()
    others = [factories.make_aws_account() for _ in range(3)]
    for account in (environment.account, *others):
        environment.instance("on 10T01, off 10T02", account=account, image=image)
    environment.recalculate("11T01")
    change_images(
        image_ids=[image.id],
        change=lambda found: factories.set_rhel(found, True),
        reason=ImageFact.Reason.INSPECTION,
    )
    marks = StaleUsage.objects.order_by("user_id").values_list(
        "user", "first_day", "last_day", "cause", "refs"
    )
    users = sorted(account.user_id for account in (environment.account, *others))
    assert list(marks) == [
        (user, day(10), day(10), Cause.IMAGE_CHANGED, [image.id]) for user in users
    ]
    environment.settle("11T02")
    assert [environment.total(10, account.user) for account in others] == [1, 1, 1]


def test_reading_leaves_out_missing_and_withdrawn_days(environment):
    environment.recalculate("12T01", since="08T00")
    factories.make_stale(user=environment.user, first_day=day(9), last_day=day(9))
    factories.make_stale(user=environment.user, first_day=day(12))
    found = daily_usage(user_id=environment.user.id, first_day=day(7), last_day=day(12))
    assert list(found) == [day(8), day(10), day(11)]
    with CaptureQueriesContext(connection) as queries:
        daily_usage(user_id=environment.user.id, first_day=day(1), last_day=day(12))
    assert len(queries) == 1


def test_random_world_equals_the_reference(environment):
    """Random instances, images and changes; after each settling all days are the reference's."""
    randomly = random.Random(41)
    images = [
        environment.image(),
        environment.image(architecture="arm64"),
        environment.plain_image(),
        environment.image(result={"rhel_enabled_repos_found": True}),
    ]
    instances = [environment.instance(image=randomly.choice([*images, False])) for _ in range(6)]
    arrived = {instance.id: [] for instance in instances}
    for _ in range(25):
        for _ in range(randomly.randrange(4)):
            instance = randomly.choice(instances)
            moment = at("06T00") + datetime.timedelta(hours=6 * randomly.randrange(4 * 6))
            kind = randomly.choice(["on", "off"])
            environment.store(instance, f"{kind} {moment:%dT%H}")
            if (moment, f"power_{kind}") not in arrived[instance.id]:
                arrived[instance.id].append((moment, f"power_{kind}"))
        if randomly.random() < 0.3:
            tagged = randomly.random() < 0.5
            change_images(
                image_ids=[randomly.choice(images).id],
                change=lambda image, tagged=tagged: factories.set_rhel(image, tagged),
                reason=ImageFact.Reason.INSPECTION,
            )
        if randomly.random() < 0.2:
            instance = randomly.choice(instances)
            Instance.objects.filter(id=instance.id, machine_image=None).update(
                machine_image=images[0]
            )
        environment.recalculate("12T01", since="05T00")
        compare_with_reference(environment, arrived)


@pytest.mark.parametrize(
    "role", ["], [", 'a"], ["b', '\\"], [\\"', ", 3], [", "é, 1", "]]", '"', "\\", ANY, ""]
)
def test_reading_understands_any_text(environment, role):
    image = environment.image()
    image.role = role
    image.save()
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    found = daily_usage(user_id=environment.user.id, first_day=day(10), last_day=day(10))
    counts = {Key(*values): count for *values, count in json.loads(found[day(10)].counts)}
    assert counts == environment.counts(10)
    assert key(role=role) in counts
