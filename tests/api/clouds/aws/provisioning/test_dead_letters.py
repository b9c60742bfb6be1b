"""Dead letters, moved back by themselves and by operators (decisions 44 and 52)."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from api.clouds.aws.provisioning import dead_letters, queues
from api.clouds.aws.provisioning.dead_letters import ATTRIBUTE, MOST_REDRIVES, redrive, redrive_all
from api.clouds.aws.provisioning.notifying_buckets import results_bucket, trail_bucket
from api.tasks.aws import redrive_dead_letters

pytestmark = pytest.mark.django_db

TRAIL = "test-cloudigrade-cloudtrail-s3"
RESULTS = "test-cloudigrade-inspections-s3"
DEAD = f"{TRAIL}-dlq"


@pytest.fixture(autouse=True)
def _short_poll(monkeypatch):
    monkeypatch.setattr(queues, "LONG_POLL", 0)


class Queues:
    """Our queues as SQS has them."""

    def __init__(self, aws):
        self.sqs = aws.client("sqs")

    def url(self, name):
        return self.sqs.get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, name, *bodies, redrives=None):
        attributes = {}
        if redrives is not None:
            attributes[ATTRIBUTE] = {"DataType": "String", "StringValue": str(redrives)}
        for body in bodies:
            self.sqs.send_message(
                QueueUrl=self.url(name), MessageBody=body, MessageAttributes=attributes
            )

    def take(self, name, seconds=300):
        """Take all that a queue shows: bodies and how often each was moved back."""
        taken = {}
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=self.url(name),
                MaxNumberOfMessages=10,
                VisibilityTimeout=seconds,
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return taken
            for one in answer["Messages"]:
                attributes = one.get("MessageAttributes", {})
                taken[one["Body"]] = attributes.get(ATTRIBUTE, {}).get("StringValue")

    def let_die(self, name):
        """Receive messages until SQS gives them up."""
        for _ in range(6):
            self.sqs.receive_message(
                QueueUrl=self.url(name), MaxNumberOfMessages=10, VisibilityTimeout=0
            )

    def length(self, name):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url(name), AttributeNames=names)
        return sum(int(found["Attributes"][key]) for key in names)


@pytest.fixture
def sqs(pipes_ready):
    return Queues(pipes_ready)


def test_dead_letters_go_back_to_their_own_queue(sqs):
    """The same for logs and results."""
    sqs.send(DEAD, *map(str, range(23)))
    sqs.send(f"{RESULTS}-dlq", "a result")
    assert [(one.queue, one.moved) for one in redrive_all()] == [(RESULTS, 1), (TRAIL, 23)]
    assert sqs.take(TRAIL) == {str(number): "1" for number in range(23)}
    assert sqs.take(RESULTS) == {"a result": "1"}
    assert sqs.length(DEAD) == sqs.length(f"{RESULTS}-dlq") == 0


def test_a_letter_that_dies_again_and_again_stays_in_the_end(sqs):
    sqs.send(TRAIL, "hopeless")
    for times in range(MOST_REDRIVES):
        sqs.let_die(TRAIL)
        assert sqs.length(DEAD) == 1
        assert redrive(trail_bucket()).moved == 1, times
    sqs.let_die(TRAIL)
    for _ in range(2):
        result = redrive(trail_bucket())
        assert (result.moved, result.kept) == (0, 1)
        # It is there for others to see at once, and counted by the alert.
        assert dead_letters.count(trail_bucket()) == 1
    assert sqs.length(TRAIL) == 0


def test_letters_that_stay_keep_no_others(sqs):
    sqs.send(DEAD, *(f"old {number}" for number in range(15)), redrives=MOST_REDRIVES)
    sqs.send(DEAD, *(f"new {number}" for number in range(15)))
    result = redrive(trail_bucket())
    assert (result.moved, result.kept) == (15, 15)
    assert set(sqs.take(TRAIL)) == {f"new {number}" for number in range(15)}


def test_a_run_ends_when_letters_that_stay_come_round_again(sqs, monkeypatch):
    monkeypatch.setattr(dead_letters, "HOLD_SECONDS", 0)
    sqs.send(DEAD, *map(str, range(3)), redrives=MOST_REDRIVES)
    assert redrive(trail_bucket()).moved == 0
    assert sqs.length(DEAD) == 3


@pytest.mark.parametrize("count", ["-1", "x", "", "²", "9" * 20, "1.5"])
def test_a_count_that_is_none_is_nothing(sqs, count):
    sqs.send(DEAD, "a", redrives=count or " ")
    assert redrive(trail_bucket()).moved == 1
    assert sqs.take(TRAIL) == {"a": "1"}


def test_other_attributes_are_kept(sqs):
    attributes = {"trace": {"DataType": "String", "StringValue": "1-2"}}
    sqs.sqs.send_message(QueueUrl=sqs.url(DEAD), MessageBody="a", MessageAttributes=attributes)
    redrive(trail_bucket())
    [message] = sqs.sqs.receive_message(QueueUrl=sqs.url(TRAIL), MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert message["MessageAttributes"]["trace"]["StringValue"] == "1-2"


def test_nothing_is_lost_where_moving_breaks_off(sqs, pipes_ready):
    """A letter is sent before it is deleted; twice does no harm."""
    sqs.send(DEAD, "a")
    pipes_ready.refuse("sqs", "DeleteMessageBatch", "InternalError")
    with pytest.raises(Exception, match="InternalError"):
        redrive(trail_bucket())
    assert sqs.length(DEAD) == 1
    assert sqs.take(TRAIL) == {"a": "1"}


def test_a_letter_that_cannot_be_sent_keeps_no_other(sqs, monkeypatch, caplog):
    sqs.send(DEAD, "good")
    crowd = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}
    sqs.sqs.send_message(QueueUrl=sqs.url(DEAD), MessageBody="full", MessageAttributes=crowd)
    send = dead_letters.sqs().send_message

    def send_few(**options):
        if len(options["MessageAttributes"]) > 10:
            raise dead_letters.ClientError({"Error": {"Code": "InvalidParameterValue"}}, "Send")
        return send(**options)

    monkeypatch.setattr(dead_letters.sqs(), "send_message", send_few)
    result = redrive(trail_bucket())
    assert (result.moved, result.failed) == (1, 1)
    assert sqs.length(DEAD) == 1
    assert "cannot be moved back" in caplog.text


def test_nothing_is_moved_while_the_database_is_away(sqs, monkeypatch):
    sqs.send(DEAD, "a")

    def away():
        raise OperationalError

    monkeypatch.setattr(dead_letters.postgres, "require_writable", away)
    with pytest.raises(OperationalError):
        redrive_all()
    with pytest.raises(CommandError, match="database is away"):
        call_command("redrive")
    assert (sqs.length(DEAD), sqs.length(TRAIL)) == (1, 0)


def test_the_task_tells_of_each_queue_and_runs_alone(sqs, redis_client, monkeypatch):
    sqs.send(DEAD, "a")
    assert redrive_dead_letters() == {
        RESULTS: {"moved": 0, "kept": 0},
        TRAIL: {"moved": 1, "kept": 0},
    }
    redis_client.set("test-lock-single-flight-redrive_dead_letters", "another run")
    assert redrive_dead_letters() == {}


def test_a_queue_without_dead_letter_queue_has_none(aws):
    assert redrive(trail_bucket()).moved == 0
    assert dead_letters.count(results_bucket()) == 0


class TestCommand:
    def run(self, capsys, *arguments):
        call_command("redrive", *arguments)
        return capsys.readouterr().out

    def test_all_letters_of_logs_are_moved_and_count_from_nothing(self, sqs, capsys):
        sqs.send(DEAD, "a", "b")
        sqs.send(DEAD, "old", redrives=MOST_REDRIVES)
        sqs.send(f"{RESULTS}-dlq", "a result")
        assert self.run(capsys) == f"Moved 3 messages from {DEAD} to {TRAIL}.\n"
        assert sqs.take(TRAIL) == {"a": None, "b": None, "old": None}
        assert sqs.length(f"{RESULTS}-dlq") == 1

    def test_nothing_to_move(self, sqs, capsys):
        assert self.run(capsys) == f"Moved 0 messages from {DEAD} to {TRAIL}.\n"

    @pytest.mark.parametrize(
        "name", [RESULTS, f"{RESULTS}-dlq", "houndigrade_results", "houndigrade_results_dlq"]
    )
    def test_a_queue_by_any_of_its_names(self, sqs, capsys, name):
        sqs.send(f"{RESULTS}-dlq", "a")
        assert json.loads(self.run(capsys, name, "--json")) == {
            "queue": RESULTS,
            "dead_letter_queue": f"{RESULTS}-dlq",
            "moved": 1,
            "kept": 0,
            "failed": 0,
        }

    def test_a_dry_run_moves_nothing(self, sqs, capsys):
        sqs.send(DEAD, "a")
        told = f"Would move 1 messages from {DEAD} to {TRAIL}: dead letters 1 -> 0.\n"
        assert self.run(capsys, "--dry-run") == told
        assert json.loads(self.run(capsys, "--dry-run", "--json"))["would_move"] == 1
        assert sqs.length(DEAD) == 1

    def test_a_queue_of_others_is_refused(self, sqs):
        with pytest.raises(CommandError, match="none of our queues") as refused:
            call_command("redrive", "another")
        assert refused.value.returncode == 2

    def test_letters_that_cannot_be_moved_are_an_error(self, sqs, monkeypatch):
        failed = dead_letters.Redrive(TRAIL, DEAD, moved=1, failed=1)
        monkeypatch.setattr(dead_letters, "redrive", lambda *_, **__: failed)
        with pytest.raises(CommandError, match="1 messages could not be moved"):
            call_command("redrive")


def test_a_run_looks_at_so_many_letters_in_vain(sqs, monkeypatch):
    monkeypatch.setattr(dead_letters, "MOST_KEPT", 20)
    sqs.send(DEAD, *map(str, range(35)), redrives=MOST_REDRIVES)
    assert redrive(trail_bucket()).kept == 20
    assert dead_letters.count(trail_bucket()) == 35
