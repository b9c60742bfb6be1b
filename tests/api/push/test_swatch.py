"""Messages to Subscription Watch (spec 14 §5.2), over a real broker."""

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from api.accounts.deletion import delete_user_if_unused
from api.metering import recalculate
from api.models import CloudAccount, InstanceEvent, PublishedHours, UsageOutboxEntry
from api.push import outbox, swatch
from api.push.publisher import publish
from tests import factories
from tests.api.metering.conftest import rhel_result
from tests.api.metering.notation import day
from tests.api.push.broker import events, received
from util import clock
from util.kafka import KafkaProducerError

pytestmark = pytest.mark.django_db(transaction=True)

VALIDATOR = Draft202012Validator(
    json.loads(Path(__file__).with_name("swatch-event.schema.json").read_text()),
    format_checker=Draft202012Validator.FORMAT_CHECKER,
)


@pytest.fixture
def swatch_topic(db, settings, kafka):
    """Only Subscription Watch is told, over a topic of the test's own."""
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka
    settings.USAGE_PUSH = False
    settings.USAGE_PUSH_SWATCH = True
    factories.make_definition(instance_type="m5.large", vcpu=2)
    settings.KAFKA_SWATCH_TOPIC = f"swatch-{time.time_ns()}"
    return settings.KAFKA_SWATCH_TOPIC


@pytest.fixture
def tell(swatch_topic, kafka):
    """Send what is due; return what Subscription Watch has got until now."""

    def send(at_least=0):
        UsageOutboxEntry.objects.update(leased_until=None)
        publish()
        return received(kafka, swatch_topic, at_least=at_least)

    return send


def els_image(environment, *products, **columns):
    facts = {"product_ids": list(products)}
    return environment.image(
        result=rhel_result(product_ids=list(products), drives=facts), **columns
    )


def instance_of(environment, text, *products, **columns):
    return environment.instance(
        text, image=els_image(environment, *products), instance_type="m5.large", **columns
    )


def values(messages):
    """The newest value of each hour of an instance, as Subscription Watch books them."""
    newest = {}
    for event in events(messages):
        [measurement] = event["measurements"]
        assert measurement["metric_id"] == "vCPUs"
        newest[event["instance_id"], event["timestamp"]] = measurement["value"]
    return newest


def test_acceptance_7_messages_validate_and_vanished_runs_are_taken_back(environment, tell):
    """14 acceptance 7: of the schema; value 0 after a run vanished."""
    instance = instance_of(environment, "on 10T10:30, off 10T12:10", 69, 204)
    environment.recalculate()
    found = tell(at_least=3)
    assert len(found) == 3
    for message in found:
        event = json.loads(message.value())
        VALIDATOR.validate(event)
        assert message.key() == environment.user.org_id.encode()
    first = sorted(events(found), key=lambda event: event["timestamp"])[0]
    del first["event_id"], first["metering_batch_id"]
    assert first == {
        "event_source": "cloudigrade",
        "event_type": "snapshot_rhel-for-x86-els-payg-addon_vcpus",
        "service_type": "RHEL System",
        "org_id": environment.user.org_id,
        "instance_id": instance.cloud_instance_id,
        "display_name": instance.cloud_instance_id,
        "timestamp": "2023-03-10T10:00:00Z",
        "expiration": "2023-03-10T11:00:00Z",
        "measurements": [{"metric_id": "vCPUs", "value": 2.0}],
        "cloud_provider": "AWS",
        "hardware_type": "Cloud",
        "product_ids": ["69", "204"],
        "role": "Red Hat Enterprise Linux Server",
        "sla": "Premium",
        "usage": "Production",
        "billing_provider": "red hat",
        "billing_account_id": environment.account.aws_account_id,
        "conversion": False,
    }
    # The instance was off an hour earlier, as a late log tells; then its events vanish.
    environment.store(instance, "off 10T11", stored="12T02")
    environment.recalculate("12T03")
    after = tell(at_least=5)
    name = instance.cloud_instance_id
    assert values(after) == {
        (name, "2023-03-10T10:00:00Z"): 2,
        (name, "2023-03-10T11:00:00Z"): 0,
        (name, "2023-03-10T12:00:00Z"): 0,
    }
    InstanceEvent.objects.filter(instance=instance).delete()
    recalculate.recalculate_runs_of_instance(instance_id=instance.id)
    environment.settle("12T05")
    last = tell(at_least=6)
    assert len(last) == 6
    assert set(values(last).values()) == {0}
    ids = {(e["instance_id"], e["timestamp"]): e["event_id"] for e in events(last)}
    assert len({event["event_id"] for event in events(last)}) == len(ids) == 3
    for event in events(last):
        VALIDATOR.validate(event)


def test_acceptance_8_other_products_are_not_told(environment, tell):
    """14 acceptance 8: plain RHEL is not accepted; nor is what is not RHEL."""
    instance_of(environment, "on 10T10, off 10T12", 69, 479)
    instance_of(environment, "on 10T10, off 10T12")
    plain = environment.image(result={"product_ids": [204]})
    environment.instance("on 10T10, off 10T12", image=plain, instance_type="m5.large")
    environment.recalculate()
    assert tell() == []
    assert not PublishedHours.objects.exists()
    assert not UsageOutboxEntry.objects.filter(date__lt=clock.today()).exists()


def test_nothing_is_told_twice(environment, tell):
    instance_of(environment, "on 10T10, off 10T12", 204)
    environment.recalculate()
    assert len(tell(at_least=2)) == 2
    outbox.record([(environment.user.id, day(10))])
    assert len(tell()) == 2


def test_what_may_have_arrived_is_corrected(environment, tell, monkeypatch):
    """A crash, or no answer, after messages were sent: they are sent again, or corrected."""
    instance = instance_of(environment, "on 10T10, off 10T12", 204)
    environment.recalculate()
    with monkeypatch.context() as patched:
        patched.setattr("api.push.publisher.publish_all", lambda _, pairs, **__: ["?"] * len(pairs))
        with pytest.raises(KafkaProducerError):
            publish()
    InstanceEvent.objects.filter(instance=instance).delete()
    recalculate.recalculate_runs_of_instance(instance_id=instance.id)
    environment.settle("12T05")
    found = tell(at_least=2)
    assert sorted(values(found).values()) == [0, 0]
    assert len(tell()) == 2


def test_a_deleted_customer_s_hours_are_taken_back(environment, tell):
    instance_of(environment, "on 10T10, off 10T12", 204)
    environment.recalculate()
    tell(at_least=2)
    CloudAccount.objects.filter(user=environment.user).delete()
    assert delete_user_if_unused(user_id=environment.user.id)
    assert set(values(tell(at_least=4)).values()) == {0}
    assert not PublishedHours.objects.exists()
    assert not UsageOutboxEntry.objects.exists()


def test_today_is_told_hour_by_hour(environment, tell):
    """One message for each started hour; the next one follows by itself."""
    start = clock.now() - timedelta(minutes=1)
    instance = instance_of(environment, "", 204)
    factories.make_event(instance=instance, occurred_at=start, instance_type="m5.large")
    recalculate.recalculate_runs_of_instance(instance_id=instance.id)
    recalculate.recalculate_stale_usage()
    hours = {moment.replace(minute=0, second=0, microsecond=0) for moment in (start, clock.now())}
    assert len(tell(at_least=len(hours))) >= len(hours)
    entry = UsageOutboxEntry.objects.filter(date=clock.today()).get()
    assert timedelta(0) < entry.due_at - clock.now() <= timedelta(hours=1)


def test_many_instances_are_told_in_portions(environment, tell, monkeypatch):
    monkeypatch.setattr(swatch, "MESSAGES_AT_ONCE", 4)
    image = els_image(environment, 204)
    for _ in range(5):
        environment.instance("on 10T10, off 10T12", image=image, instance_type="m5.large")
    environment.recalculate()
    assert len(tell(at_least=10)) == 10
    assert not UsageOutboxEntry.objects.filter(date=day(10)).exists()


def test_words_that_subscription_watch_does_not_know_are_left_out(environment, tell):
    odd = {"role": "Chef", "service_level_agreement": "Gold", "usage": "Fun", "service_type": "L1"}
    image = environment.image(result=rhel_result(product_ids=[204], syspurpose=odd))
    factories.make_definition(instance_type="m5.xlarge", vcpu=4)
    environment.instance("on 10T10, off 10T11", image=image, instance_type="m5.xlarge")
    environment.recalculate()
    [event] = events(tell(at_least=1))
    VALIDATOR.validate(event)
    assert (event["role"], event["sla"], event["usage"]) == ("", "", "")
    assert event["measurements"] == [{"metric_id": "vCPUs", "value": 4.0}]


def test_both_topics_are_told_of_one_change(environment, tell, topic):
    instance_of(environment, "on 10T10, off 10T12", 204)
    environment.recalculate()
    assert len(tell(at_least=2)) == 2
    assert str(day(10)) in {event["data"]["date"] for event in topic.events(1)}
