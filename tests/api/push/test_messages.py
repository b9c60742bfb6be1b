"""What messages of the usage topic say of a day (spec 14 §5.1), over a real broker."""

import json
from datetime import timedelta

import pytest

from api.coverage.quality import of_days, states_of_days
from api.models import CloudAccount, ConcurrentUsage, CoverageDay
from api.push import outbox
from tests import factories
from tests.api.metering.notation import at, day
from tests.api.push.told import VALIDATOR, id_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_large_day_has_an_address_in_place_of_its_counts(environment, topic, settings):
    """14 §5.1: a message has 512 KiB at most."""
    settings.USAGE_PUSH_API_BASE_URL = "https://example.org"
    environment.recalculate("03T01")
    entries = [["x86_64", f"role {number}", "", "", "", number] for number in range(9000)]
    small = entries[:5000]
    ConcurrentUsage.objects.filter(date=day(1)).update(maximum_counts=entries)
    ConcurrentUsage.objects.filter(date=day(2)).update(maximum_counts=entries * 4)
    ConcurrentUsage.objects.filter(date=day(3)).update(maximum_counts=small)
    topic.publish()
    found = topic.messages(at_least=62)
    assert max(len(message.value()) for message in found) <= 512 * 1024
    by_date = {json.loads(one.value())["data"]["date"]: json.loads(one.value()) for one in found}
    for number in (1, 2):
        event = by_date[str(day(number))]
        VALIDATOR.validate(event)
        assert event["data"]["maximum_counts_url"] == (
            "https://example.org/api/cloudigrade/v2/concurrent/"
            f"?start_date={day(number)}&end_date={day(number) + timedelta(days=1)}"
        )
    assert len(by_date[str(day(3))]["data"]["maximum_counts"]) == 5000


def cover(account, number, state):
    """Store how far an account's day can be trusted, as the hourly pass does."""
    with outbox.change_of_quality(day(number), account_ids=[account.id], states=[state]):
        CoverageDay.objects.update_or_create(
            cloud_account=account,
            date=day(number),
            defaults={"state": state, "computed_at": at("12T00"), "metered_seconds": 0},
        )


def test_a_change_of_quality_is_told(environment, topic):
    """14 §5.1: sent when the counts, the quality state or finality change."""
    CloudAccount.objects.update(created_at=at("02T00"))
    environment.recalculate("03T01")
    cover(environment.account, 2, "open")
    topic.publish()
    cover(environment.account, 2, "open")
    assert topic.publish() == 0
    cover(environment.account, 2, "complete")
    assert topic.publish() == 1
    told = {event["id"]: event["data"]["quality"]["state"] for event in topic.events(1)}
    assert told[id_of(environment.user, 1, 1)] == "off"
    assert told[id_of(environment.user, 2, 1)] == "open"
    assert told[id_of(environment.user, 2, 2)] == "complete"
    assert told[id_of(environment.user, 3, 1)] == "partial"


def test_states_of_many_are_those_of_each(environment, db):
    """The state in a message is the one that concurrent/?include=quality shows."""
    CloudAccount.objects.update(created_at=at("02T00"))
    other = factories.make_user(date_joined=at("2023-03-01T00"))
    for created in ("01T00", "04T00"):
        account = factories.make_aws_account(user=other)
        CloudAccount.objects.filter(id=account.id).update(created_at=at(created))
        cover(account, 4, "corrected")
    cover(environment.account, 2, "complete")
    keys = [(user.id, day(number)) for user in (environment.user, other) for number in range(1, 6)]
    each = {
        (user.id, when): quality.state
        for user in (environment.user, other)
        for when, quality in of_days(user.id, day(1), day(5)).items()
    }
    assert states_of_days(keys) == each
    assert set(each.values()) == {"off", "partial", "complete", "corrected"}


def test_a_message_tells_the_hours_of_all_instances(environment, topic):
    """11 §1: instance-seconds and vCPU-seconds; a change of these alone is told as well."""
    factories.make_definition(instance_type="m5.large", vcpu=2)
    instance = environment.instance("on 10T10, off 10T12", instance_type="m5.large")
    environment.instance("on 10T10, off 10T11", instance_type="of unknown size")
    environment.recalculate()
    topic.publish()
    environment.store(instance, "off 10T11:30", stored="12T02")
    environment.recalculate("12T03")
    assert topic.publish() == 1
    told = {event["id"]: event["data"] for event in topic.events(1)}
    first, second = (told[id_of(environment.user, 10, number)] for number in (1, 2))
    assert first["measures"] == {"instance_seconds": 3 * 3600, "vcpu_seconds": 4 * 3600}
    assert second["measures"] == {"instance_seconds": 9000, "vcpu_seconds": 3 * 3600}
    assert first["maximum_counts"] == second["maximum_counts"]
    nothing = told[id_of(environment.user, 9, 1)]["measures"]
    assert nothing == {"instance_seconds": 0, "vcpu_seconds": 0}
