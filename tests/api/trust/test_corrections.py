"""What describes found that no event had told (spec 10 §3.1, §4)."""

import pytest

from api.clouds.corrections import (
    CORRECTIONS,
    NewCorrection,
    explain_corrections,
    save_corrections,
)
from api.metering.runs import recalculate_runs
from api.models import Cause, Correction, InstanceEvent
from tests import factories
from tests.api.metering.notation import at
from tests.api.trust.corrections import correct, late

MISSED_OFF, MISSED_ON = Correction.Kind.MISSED_OFF, Correction.Kind.MISSED_ON
DAYS = "start_date=2023-03-01&end_date=2023-03-13"


def test_what_is_shown(environment, ask):
    instance = environment.instance("on 10T00")
    correction = correct(instance)

    page = ask.get(f"/corrections/?{DAYS}")

    assert page["meta"] == {"count": 1}
    assert page["data"] == [
        {
            "at": "2023-03-11T12:00:00Z",
            "kind": "missed_off",
            "instance": {
                "instance_id": instance.id,
                "cloud_type": "aws",
                "cloud_id": instance.cloud_instance_id,
                "region": instance.region,
                "cloud_account_id": environment.account.id,
            },
            "cloud_account_id": environment.account.id,
            "believed": "on",
            "seen": "off",
            "unsure_from": "2023-03-11T06:00:00Z",
            "unsure_to": "2023-03-11T12:00:00Z",
            "event_id": correction.event_id,
            "describe_id": correction.describe_run_id,
            "explained_by": None,
            "days_changed": [],
        }
    ]


def test_days_changed_are_those_that_the_correction_changed(environment, ask):
    """A describe of the 12th shows that an instance ended on the 10th: two days lose it."""
    stays = environment.instance("on 09T00")
    instance = environment.instance("on 09T00")
    recalculate_runs(user_id=environment.user.id, instance_ids=[stays.id, instance.id])
    environment.settle(now="12T00")
    correct(instance, moment="10T12", since="10T12", created_at=at("12T01"))
    recalculate_runs(
        user_id=environment.user.id, instance_ids=[instance.id], because=Cause.CORRECTION
    )
    environment.settle(now="12T01")
    # What changes later has other causes.
    environment.store(stays, "off 11T06", stored="12T01")
    recalculate_runs(user_id=environment.user.id, instance_ids=[stays.id])
    environment.settle(now="12T02")

    [row] = ask.get(f"/corrections/?{DAYS}")["data"]

    assert row["days_changed"] == [
        {"date": "2023-03-11", "before": 2, "after": 1},
        {"date": "2023-03-12", "before": 2, "after": 1},
    ]
    causes = ask.get("/usage-changes/?start_date=2023-03-11&end_date=2023-03-12")["data"]
    assert ["run_changed", "correction"] in [one["causes"] for one in causes]


@pytest.mark.parametrize(
    ("moment", "event_type", "origin", "explains"),
    [
        ("11T06", "power_off", "cloudtrail", True),
        ("11T09", "power_off", "cloudtrail", True),
        ("11T12", "power_off", "cloudtrail", True),
        ("11T05:59", "power_off", "cloudtrail", False),
        ("11T12:01", "power_off", "cloudtrail", False),
        ("11T09", "power_on", "cloudtrail", False),
        ("11T09", "power_off", "describe_reconcile", False),
    ],
)
def test_acceptance_6_a_late_true_event_explains(
    environment, ask, moment, event_type, origin, explains
):
    instance = environment.instance("on 10T00")
    correct(instance)
    event = late(instance, moment, event_type, origin)
    [row] = ask.get(f"/corrections/?{DAYS}")["data"]
    if explains:
        assert row["explained_by"] == {
            "event_id": event.id,
            "occurred_at": row["explained_by"]["occurred_at"],
            "origin": "cloudtrail",
            "name": event.source_name,
            "source_id": event.source_id,
            "recorded_at": row["explained_by"]["recorded_at"],
        }
    else:
        assert row["explained_by"] is None


def test_an_exact_moment_is_explained_by_a_log_that_is_seconds_apart(environment):
    instance = environment.instance("on 10T00")
    correct(instance, since="11T12")
    event = late(instance, "11T11:59")
    assert Correction.objects.get().explained_by == event.id


def test_the_first_of_several_explains_and_stays(environment):
    instance = environment.instance("on 10T00")
    correct(instance)
    other = correct(environment.instance("on 10T00"))
    events = [
        factories.make_event(
            instance=instance, event_type="power_off", occurred_at=at(moment), origin="cloudtrail"
        )
        for moment in ("11T10", "11T08")
    ]
    explain_corrections([one.id for one in events])
    late(instance, "11T07")
    explained = Correction.objects.order_by("id").values_list("explained_by", flat=True)
    assert list(explained) == [events[1].id, None]
    assert other.explained_by is None


def test_both_are_counted(environment, django_capture_on_commit_callbacks):
    """The number of unexplained ones is the difference of the two."""

    def counted(explained):
        return CORRECTIONS.labels("aws", "missed_off", explained)._value.get()

    before = counted("false"), counted("true")
    instance = environment.instance("on 10T00")
    with django_capture_on_commit_callbacks(execute=True):
        save_corrections(
            [NewCorrection(instance.id, environment.account.id, MISSED_OFF, at("11T12"))],
            cloud_type="aws",
            before=at("11T12"),
        )
        late(instance, "11T09")
    assert (counted("false"), counted("true")) == (before[0] + 1, before[1] + 1)


def test_filled_images_and_types_name_what_was_seen(environment, ask):
    instance = environment.instance("on 10T00")
    correct(instance, kind="image_filled", event_id=None)
    event = InstanceEvent.objects.order_by("id").first()
    InstanceEvent.objects.filter(id=event.id).update(instance_type="m5.large")
    correct(instance, kind="type_filled", moment="11T13", event_id=event.id)
    rows = ask.get(f"/corrections/?{DAYS}")["data"]
    assert [(one["kind"], one["believed"], one["seen"]) for one in rows] == [
        ("type_filled", None, "m5.large"),
        ("image_filled", None, instance.machine_image.cloud_image_id),
    ]


def test_filters_days_and_pages(environment, ask):
    one, two = environment.instance("on 10T00"), environment.instance("on 10T00")
    correct(one)
    correct(two, kind=MISSED_ON, moment="11T14", since="11T14")
    correct(two, moment="12T01", since="11T20")

    def found(query):
        page = ask.get(f"/corrections/?{query}")
        return [(row["kind"], row["at"][8:13]) for row in page["data"]]

    every = [("missed_off", "12T01"), ("missed_on", "11T14"), ("missed_off", "11T12")]
    assert found(DAYS) == every
    # By default yesterday; the day after the last may be tomorrow.
    assert found("") == every[1:]
    assert found("end_date=2023-03-13") == every
    assert found(f"{DAYS}&filter[kind]=missed_on") == every[1:2]
    assert found(f"{DAYS}&filter[instance]={one.id}") == every[2:]
    assert found(f"{DAYS}&filter[account]={environment.account.id}") == every
    assert found(f"{DAYS}&filter[account]=999999999") == []
    assert found(f"{DAYS}&limit=1&offset=1") == every[1:2]
    assert ask.get(f"/corrections/?{DAYS}&offset=7")["meta"] == {"count": 3}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("filter[foo]=1", "filter[foo]"),
        ("filter[kind]=bogus", "filter[kind]"),
        ("filter[account]=x", "filter[account]"),
        ("start_date=potato", "start_date"),
        ("end_date=2023-03-14", "end_date"),
    ],
)
def test_what_is_wrong_is_named(ask, query, named):
    assert named in ask.get(f"/corrections/?{query}", status=400)


def test_another_customer_sees_nothing(environment, ask):
    stranger = factories.make_instance(account=factories.make_aws_account())
    correct(stranger)
    assert ask.get(f"/corrections/?{DAYS}")["data"] == []
    assert ask.get(f"/corrections/?{DAYS}&filter[instance]={stranger.id}")["data"] == []


def test_a_page_costs_a_fixed_number_of_statements(environment, ask, django_assert_max_num_queries):
    for _ in range(5):
        correct(environment.instance("on 10T00"))
    with django_assert_max_num_queries(6):
        assert len(ask.get(f"/corrections/?{DAYS}")["data"]) == 5
