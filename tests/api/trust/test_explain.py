"""Why is the count 42 (spec 10 §1)."""

import json
import random

import pytest
import time_machine
from prometheus_client import REGISTRY
from redis import ConnectionError as RedisConnectionError

from api.images.changes import change_images
from api.metering.facets import ANY, Key
from api.models import (
    ConcurrentUsage,
    ImageFact,
    IngestObject,
    InstanceEvent,
    Run,
    StaleUsage,
)
from api.trust import mismatches
from tests import factories
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import SERVER, at, day
from tests.api.trust.conftest import Asker
from tests.api.trust.corrections import correct

pytestmark = pytest.mark.django_db


def cloud_ids(explained):
    return [run["instance"]["instance_id"] for run in explained["data"]]


def test_acceptance_1_w5(environment, ask):
    one = environment.instance("on 09T22, off 10T00")
    two = environment.instance("on 09T23, off 10T05")
    environment.instance("on 10T00, off 10T06")
    environment.recalculate(since="08T00")
    explained = ask.get("/explain/?date=2023-03-10")
    assert explained["meta"] == {"count": 2}
    assert list(explained) == ["meta", "links", "explanation", "data"]
    about = explained["explanation"]
    assert about.pop("computed_at")
    assert about.pop("quality") == {"state": "off", "count_min": 2, "count_max": 2}
    assert about == {
        "date": "2023-03-10",
        "key": dict.fromkeys(Key._fields, ANY),
        "instances_count": 2,
        "peak_from": "2023-03-10T00:00:00Z",
        "peak_until": "2023-03-10T00:00:00Z",
        "carried_over": 2,
        "revision": 1,
    }
    assert cloud_ids(explained) == [one.id, two.id]


def test_acceptance_2_w7(environment, ask):
    first = environment.instance("on 10T01, off 10T02")
    environment.instance("on 10T02, off 10T03")
    environment.recalculate(since="08T00")
    explained = ask.get("/explain/?date=2023-03-10")
    assert cloud_ids(explained) == [first.id]
    assert explained["explanation"]["peak_until"] == "2023-03-10T02:00:00Z"


def test_a_member_is_explained_down_to_its_events(environment, ask):
    factories.make_definition(instance_type="m5.large", vcpu=2, memory_mib=8192)
    image = environment.image(name="corp-rhel8")
    stored_object = IngestObject.objects.create(
        bucket="b", key="k", aws_account_id="1" * 12, outcome="ok"
    )
    instance = environment.instance(
        "on 10T14",
        image=image,
        instance_type="m5.large",
        source_name="StartInstances",
        source_id="86eac0ac",
        source_object=stored_object.id,
        source_index=7,
    )
    environment.recalculate(since="08T00")
    [run] = ask.get("/explain/?date=2023-03-10")["data"]
    event = InstanceEvent.objects.get()
    assert run.pop("run_id") == Run.objects.get().id
    reasons = run["image"].pop("rhel_reasons")
    assert run.pop("opened_by") == {
        "event_id": event.id,
        "occurred_at": "2023-03-10T14:00:00Z",
        "origin": "cloudtrail",
        "name": "StartInstances",
        "source_id": "86eac0ac",
        "recorded_at": "2023-03-12T00:00:00Z",
    }
    assert run == {
        "start_time": "2023-03-10T14:00:00Z",
        "end_time": None,
        "instance_type": "m5.large",
        "vcpu": 2,
        "memory": 8192,
        "instance": {
            "instance_id": instance.id,
            "cloud_type": "aws",
            "cloud_id": instance.cloud_instance_id,
            "region": instance.region,
            "cloud_account_id": environment.account.id,
        },
        "image": {
            "image_id": image.id,
            "cloud_id": image.cloud_image_id,
            "name": "corp-rhel8",
            "architecture": image.architecture,
            "role": SERVER,
            "sla": "Premium",
            "usage": "Production",
            "service_type": "L3",
        },
        "closed_by": None,
    }
    assert [reason["reason"] for reason in reasons] == ["rhel_release_files_found"]
    # Operators see where the log record lies.
    with time_machine.travel(at("12T02"), tick=False):
        twin = ANYBODY.get(f"{B}/explain/?user_id={environment.user.id}&date=2023-03-10").json()
    source = twin["data"][0]["opened_by"]["source"]
    assert (source["bucket"], source["key"], source["index"]) == ("b", "k", 7)


def fleet(environment, seed=1):
    """Store a month of runs of many kinds of images, as whole hours so that many coincide."""
    rng = random.Random(seed)
    images = [
        environment.image(
            result={
                "rhel_release_files_found": True,
                "syspurpose": {"role": role, "service_level_agreement": sla, "usage": use},
            },
            architecture=arch,
        )
        for role, sla, use, arch in (
            (SERVER, "Premium", "Production", "x86_64"),
            (SERVER, "Standard", "Test", "arm64"),
            ("", "", "", "x86_64"),
            ("Workstation", "Premium", "", None),
        )
    ] + [environment.plain_image()]
    for _ in range(60):
        hour = rng.randrange(0, 240)
        texts = []
        for _ in range(rng.randrange(1, 4)):
            length = rng.choice([0, 1, 5, 24, 40])
            start, end = divmod(hour, 24), divmod(hour + length, 24)
            texts += [f"on {start[0] + 1:02}T{start[1]:02}", f"off {end[0] + 1:02}T{end[1]:02}"]
            hour += length + rng.randrange(1, 30)
            if hour > 250:
                break
        environment.instance(", ".join(texts), image=rng.choice(images))


def test_acceptance_3_members_are_as_many_as_the_number_of_every_key(environment, ask):
    """Every day, all keys that there are, some that there are not."""
    fleet(environment)
    environment.recalculate(since="01T00")
    before = REGISTRY.get_sample_value("cloudigrade_explain_mismatch_total")
    rng = random.Random(2)
    explained = 0
    for row in ConcurrentUsage.objects.filter(date__gte=day(1), date__lt=day(12)):
        counts = {tuple(entry[:5]): entry[5] for entry in row.maximum_counts}
        keys = [*rng.sample(sorted(counts), min(len(counts), 25)), (ANY, "nobody", ANY, ANY, ANY)]
        for key in keys:
            query = "&".join(
                f"{name}={value}"
                for name, value in zip(Key._fields, key, strict=True)
                if value != ANY
            )
            about = ask.get(f"/explain/?date={row.date}&{query.replace(' ', '+')}")
            assert about["meta"]["count"] == counts.get(key, 0), (row.date, key)
            explained += about["meta"]["count"]
    assert explained > 100
    assert REGISTRY.get_sample_value("cloudigrade_explain_mismatch_total") == before


def test_acceptance_4_three_runs_without_length(environment, ask):
    for _ in range(3):
        environment.instance("on 10T05, off 10T05")
    environment.recalculate(since="08T00")
    assert ask.get("/explain/?date=2023-03-10")["meta"]["count"] == 1


def test_acceptance_5_a_late_power_off_is_a_change(environment, ask):
    instance = environment.instance("on 09T05")
    environment.instance("on 10T01, off 10T02")
    environment.recalculate(since="08T00")
    assert ask.get("/explain/?date=2023-03-10")["explanation"]["revision"] == 1
    environment.store(instance, "off 09T06")
    environment.recalculate(now="12T01:30")
    explained = ask.get("/explain/?date=2023-03-10")
    assert (explained["meta"]["count"], explained["explanation"]["revision"]) == (1, 2)
    changes = ask.get("/usage-changes/?start_date=2023-03-10&end_date=2023-03-11")
    assert changes["meta"] == {"count": 2}
    newest, first = changes["data"]
    assert (newest["before"], newest["after"], newest["revision"]) == (2, 1, 2)
    assert newest["causes"] == ["run_changed"]
    assert newest["changed_keys"] == 24
    assert len(newest["keys"]) == 20
    assert newest["keys"][0] == {**dict.fromkeys(Key._fields, ANY), "before": 2, "after": 1}
    assert (first["before"], first["after"], first["revision"]) == (None, 2, 1)
    assert (first["causes"], first["keys"], first["changed_keys"]) == ([], [], 0)


def test_acceptance_6_nothing_of_another_customer_appears(environment, ask):
    stranger = Environment()
    theirs = stranger.instance("on 10T01, off 10T05")
    mine = environment.instance("on 10T02, off 10T05")
    environment.recalculate(since="08T00")
    assert cloud_ids(ask.get("/explain/?date=2023-03-10")) == [mine.id]
    assert cloud_ids(Asker(stranger).get("/explain/?date=2023-03-10")) == [theirs.id]
    assert ask.get(f"/instances/{theirs.id}/timeline/", status=404) == {"detail": "Not found."}
    assert ask.get(f"/instances/{mine.id}/timeline/")["meta"]["count"] > 0
    for change in ask.get("/usage-changes/?start_date=2023-03-01")["data"]:
        assert change["after"] <= 1


def test_acceptance_7_an_event_of_a_reconciliation_names_its_describe(environment, ask):
    """Its source is the describe run; there is no log record to be read."""
    instance = environment.instance("on 08T01, off 08T05")
    correction = correct(instance, kind="missed_on", moment="10T12", since="10T06")
    environment.recalculate(since="08T00")
    [run] = ask.get("/explain/?date=2023-03-10")["data"]
    opened = run["opened_by"]
    assert opened["event_id"] == correction.event_id
    assert opened["origin"] == "describe_reconcile"
    assert opened["source_id"] == str(correction.describe_run_id)
    with time_machine.travel(at("12T02"), tick=False):
        twin = ANYBODY.get(f"{B}/explain/?user_id={environment.user.id}&date=2023-03-10").json()
        record = ANYBODY.get(f"{B}/instanceevents/{opened['event_id']}/record/")
    assert "source" not in twin["data"][0]["opened_by"]
    assert record.status_code == 404


def test_acceptance_8_reasons_have_a_beginning_and_changes_a_cause(environment, ask):
    with time_machine.travel(at("09T00"), tick=False):
        image = factories.make_aws_image()
        ImageFact.objects.filter(machine_image=image).delete()
    environment.instance("on 09T05", image=image)
    environment.recalculate(now="11T01", since="08T00")
    assert ask.get("/explain/?date=2023-03-10")["meta"]["count"] == 0

    def inspect(found):
        found.inspection_json = json.dumps({"rhel_product_certs_found": True})
        return {"rules": ["rhel_product_certs"], "paths": ["/etc/pki/product/479.pem"]}

    with time_machine.travel(at("11T02"), tick=False):
        change_images(
            image_ids=[image.id], change=inspect, reason=ImageFact.Reason.INSPECTION, ref="1"
        )
    assert ask.get("/explain/?date=2023-03-10", status=425)["detail"]
    environment.settle(now="11T03")
    with time_machine.travel(at("11T04"), tick=False):
        change_images(
            image_ids=[image.id],
            change=lambda one: setattr(one, "architecture", "arm64"),
            reason=ImageFact.Reason.DESCRIBE,
        )
    StaleUsage.objects.all().delete()
    [run] = ask.get("/explain/?date=2023-03-10")["data"]
    assert run["image"]["rhel_reasons"] == [
        {
            "reason": "rhel_product_certs_found",
            "since": "2023-03-11T02:00:00Z",
            "evidence": {"rules": ["rhel_product_certs"], "paths": ["/etc/pki/product/479.pem"]},
        }
    ]
    assert run["image"]["changed_since_computed"] is True
    newest = ask.get("/usage-changes/?start_date=2023-03-10&end_date=2023-03-11")["data"][0]
    assert newest["causes"] == ["image_changed"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("arch=x86_64&role=Server", {"arch": ["arch and role cannot both be given."]}),
        ("arch=&role=", {"arch": ["arch and role cannot both be given."]}),
        ("date=potato", {"date": ["date must be a date (YYYY-MM-DD)."]}),
        ("date=2023-03-12", {"date": ["date cannot be today or in the future."]}),
        (
            "date=2022-12-31",
            {"date": ["date must be same as or after the user creation date."]},
        ),
        ("sla=a%00b", {"sla": ["Null characters are not allowed."]}),
    ],
)
def test_acceptance_9_what_makes_no_sense_is_refused(environment, ask, query, error):
    assert ask.get(f"/explain/?{query}", status=400) == error


def test_acceptance_9_an_empty_value_is_one(environment, ask):
    environment.instance(
        "on 10T01, off 10T05", image=environment.image(result={"rhel_release_files_found": True})
    )
    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    assert ask.get("/explain/?date=2023-03-10")["meta"]["count"] == 2
    assert ask.get("/explain/?date=2023-03-10&sla=")["meta"]["count"] == 1
    assert ask.get("/explain/?date=2023-03-10&sla=Premium")["meta"]["count"] == 1
    unknown = ask.get("/explain/?date=2023-03-10&sla=nobody")
    assert (unknown["data"], unknown["explanation"]["instances_count"]) == ([], 0)
    assert unknown["explanation"]["peak_from"] is None


def test_days_that_are_not_calculated_are_not_explained(environment, ask):
    assert "unavailable" in ask.get("/explain/?date=2023-03-10", status=425)["detail"]
    environment.recalculate(since="08T00")
    factories.make_stale(user=environment.user, first_day=day(10), last_day=day(10))
    ask.get("/explain/?date=2023-03-10", status=425)


def test_a_number_that_its_runs_do_not_make_is_calculated_again(environment, ask):
    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    ConcurrentUsage.objects.filter(date=day(10)).update(maximum_counts=[[ANY] * 5 + [7]])
    before = REGISTRY.get_sample_value("cloudigrade_explain_mismatch_total")
    ask.get("/explain/?date=2023-03-10", status=425)
    assert REGISTRY.get_sample_value("cloudigrade_explain_mismatch_total") == before + 1
    assert environment.is_unavailable(10)
    environment.settle()
    assert ask.get("/explain/?date=2023-03-10")["meta"]["count"] == 1


def test_a_number_that_its_runs_do_not_make_is_named_while_redis_is_away(
    environment, ask, caplog, monkeypatch
):
    """The log names customer, day and both numbers; Redis is not needed for the answer."""

    def away():
        raise RedisConnectionError

    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    ConcurrentUsage.objects.filter(date=day(10)).update(maximum_counts=[[ANY] * 5 + [7]])
    monkeypatch.setattr(mismatches.redis, "client", away)
    ask.get("/explain/?date=2023-03-10", status=425)
    assert (
        f"The number of user {environment.user.id} on 2023-03-10 was stored as 7, but 1 runs make"
        " it; it is calculated again"
    ) in caplog.messages


def test_pages_and_number_of_statements(environment, ask, django_assert_max_num_queries):
    environment.many(30, "on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    with django_assert_max_num_queries(6):
        page = ask.get("/explain/?date=2023-03-10&limit=20&offset=20")
    assert page["meta"]["count"] == 30
    assert len(page["data"]) == 10
    assert "date=2023-03-10" in page["links"]["previous"]


def test_the_runs_of_a_number_are_looked_for_once(environment, ask, django_assert_num_queries):
    """Kept per user, date, key and revision, and for one calculation of the day."""
    first = environment.instance("on 10T01, off 10T02")
    environment.recalculate(since="08T00")
    path = "/explain/?date=2023-03-10"
    assert cloud_ids(ask.get(path)) == [first.id]
    with django_assert_num_queries(5):
        assert cloud_ids(ask.get(path)) == [first.id]
    assert cloud_ids(ask.get(f"{path}&sla=Premium")) == [first.id]
    assert cloud_ids(ask.get(f"{path}&sla=nobody")) == []
    environment.store(first, "on 10T00, off 10T00:30")
    second = environment.instance("on 10T00:30, off 10T00:40")
    Run.objects.all().delete()
    environment.recalculate(since="08T00", now="12T01:30")
    assert cloud_ids(ask.get(path)) == [first.id]
    factories.make_stale(user=environment.user, first_day=day(10), last_day=day(10))
    environment.settle(now="12T01:40")
    found = ask.get(path)
    assert found["explanation"]["revision"] == 1
    assert found["explanation"]["peak_from"] == "2023-03-10T00:00:00Z"
    assert second.id not in cloud_ids(found)


def test_operators_may_ask_for_today_and_must_name_a_user(environment):
    environment.instance("on 12T00, off 12T01")
    environment.recalculate(since="08T00", now="12T02")
    with time_machine.travel(at("12T03"), tick=False):
        today = ANYBODY.get(f"{B}/explain/?user_id={environment.user.id}&date=2023-03-12")
        assert today.json()["meta"]["count"] == 1
        for query in ("", "user_id=", "user_id=x", "user_id=99999999", "user_id=" + "9" * 30):
            answer = ANYBODY.get(f"{B}/explain/?{query}")
            assert (answer.status_code, list(answer.json())) == (400, ["user_id"]), query


def test_the_timeline_of_an_instance(environment, ask):
    image = environment.image()
    instance = environment.instance("on 10T01, off 10T05", image=image, instance_type="t2.micro")
    environment.recalculate(since="08T00")
    timeline = ask.get(f"/instances/{instance.id}/timeline/?limit=100")
    kinds = [item["kind"] for item in timeline["data"]]
    assert kinds[-4:] == ["event", "run_ended", "event", "run_started"]
    assert timeline["meta"]["count"] == len(kinds)
    assert [item["at"] for item in timeline["data"]] == sorted(
        (item["at"] for item in timeline["data"]), reverse=True
    )
    started = timeline["data"][-1]
    assert started["run_id"] == Run.objects.get().id
    power_off = timeline["data"][-4]
    assert (power_off["event_type"], power_off["at"]) == ("power_off", "2023-03-10T05:00:00Z")
    second = ask.get(f"/instances/{instance.id}/timeline/?limit=1&offset=1")
    assert second["data"] == timeline["data"][1:2]
    beyond = ask.get(f"/instances/{instance.id}/timeline/?offset=1000")
    assert (beyond["data"], beyond["meta"]["count"]) == ([], len(kinds))
