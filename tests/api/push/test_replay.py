"""Days of usage that are sent again (spec 14 §5.1), over a real broker."""

import json
from collections import Counter

import pytest
from django.core.management import CommandError, call_command

from api.push.metrics import statistics
from tests import factories
from tests.api.metering.notation import at
from tests.api.push.told import id_of

pytestmark = pytest.mark.django_db(transaction=True)


def replayed(capsys, *arguments):
    call_command("push_usage", *arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_acceptance_6_a_replay_sends_the_same_bytes(environment, topic, capsys):
    """14 acceptance 6: same ids, same bytes; nothing of other days or other customers."""
    factories.make_user(date_joined=at("2023-03-01T00"))
    environment.instance("on 10T10, off 10T12")
    environment.recalculate()
    topic.publish()
    before = [message.value() for message in topic.messages(at_least=1)]
    dry = replayed(
        capsys, "--from", "2023-03-09", "--to", "2023-03-10", "--org-id", environment.user.org_id,
        "--dry-run",
    )  # fmt: skip
    assert (dry["days"], dry["sent"]) == (2, 0)
    assert topic.publish() == 0
    report = replayed(
        capsys, "--from", "2023-03-09", "--to", "2023-03-10", "--org-id", environment.user.org_id
    )
    assert report == {"from": "2023-03-09", "to": "2023-03-10", "days": 2, "sent": 2}
    after = [message.value() for message in topic.messages(at_least=len(before) + 2)]
    again = Counter(after) - Counter(before)
    assert sorted(json.loads(value)["id"] for value in again) == sorted(
        [id_of(environment.user, 10, 1), id_of(environment.user, 9, 1)]
    )
    assert set(again) <= set(before)
    assert replayed(capsys, "--from", "2023-03-09", "--to", "2023-03-10")["sent"] == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "2023-03-10", "--to", "2023-03-09"),
        ("--from", "2023-03-10", "--to", "2023-03-10", "--org-id", "nobody"),
    ],
)
def test_a_replay_refuses_wrong_input(environment, pushing, arguments):
    with pytest.raises(CommandError) as caught:
        call_command("push_usage", *arguments)
    assert caught.value.returncode == 2


def test_a_replay_needs_push(environment):
    with pytest.raises(CommandError, match="USAGE_PUSH is off"):
        call_command("push_usage", "--from", "2023-03-10", "--to", "2023-03-10")


def test_days_before_push_was_switched_on_can_be_replayed(environment, topic, settings, capsys):
    settings.USAGE_PUSH = False
    environment.recalculate("03T01")
    settings.USAGE_PUSH = True
    assert replayed(capsys, "--from", "2023-03-01", "--to", "2023-03-02")["sent"] == 2
    assert len(topic.events(at_least=2)) == 2


def test_a_replay_says_that_kafka_is_away(environment, topic, broker_away):
    environment.recalculate("03T01")
    with pytest.raises(CommandError, match="wait in the outbox") as caught:
        call_command("push_usage", "--from", "2023-03-01", "--to", "2023-03-02")
    assert caught.value.returncode == 1
    broker_away()
    topic.publish()
    assert statistics().rows == 0
