"""Usage changes over Kafka (spec 14 §5.1), over a real broker."""

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.core.cache import cache

from api.accounts.deletion import delete_user_if_unused
from api.metering import recalculate
from api.metering.rebuild import rebuild
from api.models import CloudAccount, ConcurrentUsage, PublishedUsage, UsageOutboxEntry, User
from api.push import messages, outbox, publisher
from api.push.metrics import statistics
from tests import factories
from tests.api.metering.notation import at, day
from tests.api.push.broker import Follower
from tests.api.push.told import VALIDATOR, id_of, shown
from util.kafka import KafkaProducerError

pytestmark = pytest.mark.django_db(transaction=True)


def test_acceptance_1_messages_validate_and_ids_are_unique(environment, topic):
    """14 acceptance 1: CloudEvents in structured mode, keyed by org id, of the schema."""
    instance = environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    topic.publish()
    environment.store(instance, "on 11T03", stored="12T02")
    environment.recalculate("12T03")
    topic.publish()
    found = topic.messages(at_least=72)
    ids = []
    for message in found:
        event = json.loads(message.value())
        VALIDATOR.validate(event)
        assert message.key() == environment.user.org_id.encode()
        assert message.headers() == [("content-type", b"application/cloudevents+json")]
        assert event["subject"] == event["data"]["org_id"] == environment.user.org_id
        assert event["source"] == "urn:redhat:source:cloudigrade:test"
        assert event["id"] == (
            f"{environment.user.uuid}:{event['data']['date']}:{event['data']['revision']}"
        )
        ids.append(event["id"])
    assert len(ids) == len(set(ids))
    # All days since the customer joined; day 11 and 12 twice.
    assert len(ids) == (day(12) - date(2023, 1, 1)).days + 1 + 2
    assert {id_of(environment.user, 11, 2), id_of(environment.user, 12, 2)} <= set(ids)
    assert statistics().rows == 0


def test_nothing_is_written_while_push_is_off(environment, settings):
    """14 §5.1: off unless USAGE_PUSH=on."""
    assert not settings.USAGE_PUSH
    environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    outbox.withdraw([environment.user.id])
    outbox.record_again(environment.user.id)
    assert not UsageOutboxEntry.objects.exists()
    assert not PublishedUsage.objects.exists()


def test_acceptance_2_a_broker_that_is_away_delays_and_loses_nothing(
    environment, topic, broker_away
):
    """14 acceptance 2: rows wait, metering goes on, each message is delivered once."""
    instance = environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    with pytest.raises(KafkaProducerError):
        topic.publish()
    environment.store(instance, "on 11T03", stored="12T02")
    environment.recalculate("12T03")
    assert environment.totals(10, 12) == [1, 1, 1]
    waiting = statistics()
    assert waiting.rows == ConcurrentUsage.objects.count()
    assert waiting.oldest_seconds > 0
    broker_away()
    topic.publish()
    found = topic.events(at_least=waiting.rows)
    assert len(found) == waiting.rows
    assert statistics().rows == 0
    assert statistics().oldest_seconds == 0
    follower = Follower()
    for event in found:
        follower.read(event)
    assert follower.counts(environment.user.uuid) == shown(environment.user)


def test_a_worker_waits_for_a_broker_only_now_and_then(environment, topic, broker_away):
    cache.clear()
    environment.recalculate()
    assert publisher.publish_unless_paused() == 0
    UsageOutboxEntry.objects.update(leased_until=None)
    broker_away()
    assert publisher.publish_unless_paused() == 0
    cache.clear()
    assert publisher.publish_unless_paused() > 0


def test_acceptance_3_after_a_crash_the_duplicate_has_the_same_id(environment, topic, monkeypatch):
    """14 acceptance 3: a publisher dies after the broker's answer and before it is noted."""
    environment.recalculate("03T01")

    def die(*_):
        raise SystemExit

    stream = publisher._STREAMS["usage"]
    dying = replace(stream, acknowledge=die)
    with monkeypatch.context() as patched:
        patched.setitem(publisher._STREAMS, "usage", dying)
        with pytest.raises(SystemExit):
            topic.publish()
    days = ConcurrentUsage.objects.count()
    assert UsageOutboxEntry.objects.count() == days
    topic.publish()
    found = topic.messages(at_least=2 * days)
    assert Counter(json.loads(message.value())["id"] for message in found) == Counter(
        {f"{environment.user.uuid}:{row.date}:1": 2 for row in ConcurrentUsage.objects.all()}
    )
    assert len({message.value() for message in found}) == days
    assert not UsageOutboxEntry.objects.exists()


def test_acceptance_4_any_order_and_repetition_ends_as_concurrent_shows(environment, topic):
    """14 acceptance 4."""
    chance = random.Random(20230310)
    other = factories.make_user(date_joined=at("2023-03-01T00"))
    theirs = factories.make_aws_account(user=other)
    for number in range(1, 12):
        for account in (environment.account, theirs):
            hours = sorted(chance.sample(range(24), 2))
            environment.instance(
                f"on {number:02}T{hours[0]:02}, off {number:02}T{hours[1]:02}",
                account=account,
                stored="12T00",
            )
        environment.recalculate("12T01")
        topic.publish()
    found = topic.events(at_least=1)
    for _ in range(20):
        told = found + chance.sample(found, len(found) // 2)
        chance.shuffle(told)
        follower = Follower()
        for event in told:
            follower.read(event)
        for user in (environment.user, other):
            assert follower.counts(user.uuid) == shown(user)


def test_acceptance_5_three_recalculations_while_down_are_one_message(
    environment, topic, broker_away
):
    """14 acceptance 5: the newest state only."""
    instances = [environment.instance("on 10T10, off 10T12")]
    for minute in ("12T01", "12T02", "12T03"):
        environment.recalculate(minute)
        with pytest.raises(KafkaProducerError):
            topic.publish()
        instances.append(environment.instance("on 10T10, off 10T12"))
    broker_away()
    topic.publish()
    of_day_10 = [event for event in topic.events(1) if event["data"]["date"] == str(day(10))]
    # The first attempt, which the broker never saw, has used up the first revisions.
    assert [event["data"]["maximum_counts"][0]["instances_count"] for event in of_day_10] == [3]
    assert [event["data"]["revision"] for event in of_day_10] == [3]


def test_acceptance_9_a_deleted_user_s_days_are_withdrawn(environment, topic):
    """14 acceptance 9: no counts, the next revision."""
    environment.recalculate("03T01")
    topic.publish()
    told = topic.events(at_least=1)
    environment.recalculate("04T01")
    user = User.objects.get(id=environment.user.id)
    CloudAccount.objects.filter(user=user).delete()
    assert delete_user_if_unused(user_id=user.id)
    topic.publish()
    found = topic.events(at_least=2 * len(told))
    assert len(found) == 2 * len(told)
    gone = {event["id"]: event["data"] for event in found if event["data"]["withdrawn"]}
    assert set(gone) == {f"{user.uuid}:{event['data']['date']}:2" for event in told}
    for event in found:
        VALIDATOR.validate(event)
    assert all(
        data.keys() == {"org_id", "account_number", "date", "revision", "withdrawn", "day_ended"}
        for data in gone.values()
    )
    follower = Follower()
    for event in found:
        follower.read(event)
    assert follower.counts(user.uuid) == {}
    assert not PublishedUsage.objects.exists()
    assert not UsageOutboxEntry.objects.exists()


def test_a_day_is_told_when_it_has_ended(environment, topic):
    """14 §5.1: not before the day ends unless USAGE_PUSH_TODAY is on."""
    recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    topic.publish()
    today = UsageOutboxEntry.objects.get()
    assert today.date == ConcurrentUsage.objects.order_by("-date").first().date
    assert statistics().rows == 0
    assert str(today.date) not in {event["data"]["date"] for event in topic.events(1)}


def test_today_is_told_at_once_if_wanted_and_again_when_it_has_ended(environment, topic, settings):
    """14 §5.1: finality is told, with a revision of its own."""
    settings.USAGE_PUSH_TODAY = True
    recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    topic.publish()
    entry = UsageOutboxEntry.objects.get()
    assert topic.publish() == 0
    assert entry.due_at == factories.utc(f"{entry.date}T00") + timedelta(days=1)
    # The day ends: to the publisher, a day that lies a day back.
    past = entry.date - timedelta(days=1)
    ConcurrentUsage.objects.filter(date__lte=past).delete()
    for model in (ConcurrentUsage, UsageOutboxEntry):
        model.objects.filter(date=entry.date).update(date=past)
    PublishedUsage.objects.filter(date=past).delete()
    PublishedUsage.objects.filter(date=entry.date).update(date=past)
    UsageOutboxEntry.objects.update(due_at=factories.utc("2023-01-01T00"))
    assert topic.publish() == 1
    found = {
        (event["data"]["day_ended"], event["data"]["revision"])
        for event in topic.events(1)
        if event["data"]["date"] in (str(past), str(entry.date))
    }
    assert {(False, 1), (True, 2)} <= found
    assert not UsageOutboxEntry.objects.exists()


def test_a_day_that_is_being_calculated_waits(environment, topic):
    """A stale day acts as if it were gone, for consumers as well."""
    environment.recalculate("03T01")
    factories.make_stale(user=environment.user, first_day=day(2), last_day=day(2))
    topic.publish()
    assert str(day(2)) not in {event["data"]["date"] for event in topic.events(1)}
    assert statistics().rows == 1
    environment.settle("03T02")
    assert topic.publish() == 1


def test_nothing_is_sent_where_nothing_changed(environment, topic):
    environment.recalculate("03T01")
    topic.publish()
    factories.make_stale(user=environment.user, first_day=day(1), last_day=day(3))
    environment.settle("03T02")
    assert UsageOutboxEntry.objects.count() == 3
    assert topic.publish() == 0
    assert not UsageOutboxEntry.objects.exists()


def test_an_id_never_stands_for_two_contents(environment, topic):
    """A rebuild may end with other counts of the same revision."""
    environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    topic.publish()
    PublishedUsage.objects.filter(date=day(10)).update(digest=b"something else")
    rebuild(user_id=environment.user.id)
    topic.publish()
    ids = [event["id"] for event in topic.events(1)]
    assert {id_of(environment.user, 10, 1), id_of(environment.user, 10, 2)} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_change_while_its_message_is_sent_is_told_too(environment, topic, monkeypatch):
    environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    send = publisher.publish_all

    def change_meanwhile(*args, **kwargs):
        monkeypatch.setattr(publisher, "publish_all", send)
        environment.instance("on 10T10, off 10T12")
        environment.recalculate("12T02")
        return send(*args, **kwargs)

    monkeypatch.setattr(publisher, "publish_all", change_meanwhile)
    topic.publish()
    follower = Follower()
    for event in topic.events(1):
        follower.read(event)
    assert follower.counts(environment.user.uuid) == shown(environment.user)
    assert follower.days[environment.user.uuid, str(day(10))]["revision"] == 2
    assert not UsageOutboxEntry.objects.exists()


def test_a_message_that_the_broker_refuses_stops_no_other(environment, topic, monkeypatch, caplog):
    """Bad ones are counted and tried again; good ones are delivered."""
    environment.recalculate("03T01")
    refused = str(day(2)).encode()
    send = publisher.publish_all

    def refuse(name, pairs, **kwargs):
        good = [pair for pair in pairs if refused not in pair[1]]
        send(name, good, **kwargs)
        return ["too bad" if refused in value else None for _, value in pairs]

    with monkeypatch.context() as patched:
        patched.setattr(publisher, "publish_all", refuse)
        assert topic.publish() == ConcurrentUsage.objects.count() - 1
    assert "too bad" in caplog.text
    assert [entry.date for entry in UsageOutboxEntry.objects.all()] == [day(2)]
    assert topic.publish() == 1


def test_what_does_not_fit_into_memory_comes_next(environment, topic, monkeypatch):
    environment.recalculate("03T01")
    ConcurrentUsage.objects.update(maximum_counts=[["", "", "", "", "", 1]] * 10)
    monkeypatch.setattr(messages, "BYTES_AT_ONCE", 600)
    days = ConcurrentUsage.objects.count()
    assert topic.publish() == days
    assert len(topic.events(days)) == days


def test_two_statements_for_a_hundred_messages(environment, topic, django_assert_max_num_queries):
    """14 "Bound"."""
    for _ in range(20):
        factories.make_user(date_joined=at("2023-01-01T00"))
    environment.recalculate("12T01")
    waiting = statistics().rows
    assert waiting > 1000
    with django_assert_max_num_queries(2 * waiting // 100):
        assert topic.publish() == waiting


def test_customers_who_become_one_are_one_to_consumers(environment, topic):
    """Decision 4: the survivor's days hold, and are told anew with the org id."""
    from api.accounts.users import get_or_create_user  # noqa: PLC0415

    by_account = factories.make_user(account_number="77", date_joined=at("2023-03-01T00"))
    by_org = factories.make_user(org_id="88", date_joined=at("2023-02-27T00"))
    environment.recalculate("03T01")
    topic.publish()
    survivor = get_or_create_user(account_number="77", org_id="88")
    topic.publish()
    gone = by_org if survivor.id == by_account.id else by_account
    follower = Follower()
    for event in topic.events(1):
        follower.read(event)
    assert follower.counts(survivor.uuid) == shown(survivor)
    of_survivor = [data for (owner, _), data in follower.days.items() if owner == survivor.uuid]
    assert {(data["org_id"], data["account_number"]) for data in of_survivor} == {("88", "77")}
    mine = {day for owner, day in follower.days if owner == survivor.uuid}
    theirs = {day for owner, day in follower.days if owner == gone.uuid}
    assert {day for day in theirs if follower.days[gone.uuid, day]["withdrawn"]} == theirs - mine
    for same in theirs & mine:
        assert (
            follower.days[survivor.uuid, same]["revision"]
            > follower.days[gone.uuid, same]["revision"]
        )
