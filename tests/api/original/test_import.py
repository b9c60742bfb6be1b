"""Copying a database of the original (appendix A): what counts there counts here."""

import io
import json
import re
import socket
import textwrap
from datetime import date, timedelta

import psycopg2
import psycopg2.extras
import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from api.metering.recalculate import recalculate_runs_of_all_accounts
from api.models import (
    AccountState,
    AuditEntry,
    CloudAccount,
    ImageTags,
    InspectionAttempt,
    Instance,
    InstanceDefinition,
    InstanceEvent,
    MachineImage,
    Run,
    StaleUsage,
    User,
    UserTaskLock,
)
from api.original import copying, queries, source
from tests import factories
from tests.api.console.conftest import Browser, associate
from tests.api.original.copies import (
    KINDS,
    NOW,
    TABLES,
    Expected,
    copied,
    everything,
    run,
    total,
    usage,
)
from tests.api.original.database import BEGIN, fill


@pytest.fixture
def operator() -> Browser:
    """A Red Hat associate on the console."""
    return associate()


@pytest.fixture
def anybody() -> Browser:
    """Somebody who reads the console."""
    return Browser()


pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thousand_instances_give_the_numbers_of_the_reference(original):
    fill(original, instances=1_000)
    before = original.dump()
    reports = run(original)
    assert copied(reports)[:5] == [5, 1, 11, 24 + 5 * 3, 1_000]
    assert original.dump() == before
    events = reports["events"]
    assert events["copied"] == InstanceEvent.objects.count()
    assert 0 < events["left_out"]["stored twice"] == events["read"] - events["copied"]
    expected = Expected(original)
    days = [BEGIN.date() + timedelta(days=number) for number in range(25)]
    stored = {(user, day): counts for user, day, counts in usage()}
    assert stored.keys() == {(user, day) for user in range(1, 6) for day in days}
    assert not StaleUsage.objects.exists()
    largest = 0
    for (user, day), counts in stored.items():
        numbers = {tuple(entry[:5]): entry[5] for entry in counts}
        assert numbers == expected.counts(user, day), (user, day)
        largest = max(largest, *numbers.values(), 0)
    assert largest > 50


def test_names_and_ids_stay(original):
    original.user(7, account_number=None, org_id="org7", is_permanent=True)
    original.account(3, 7, part={"aws_account_id": 42}, created_at=BEGIN - timedelta(days=9))
    original.account(4, 7, "azure", platform_application_is_paused=True, is_enabled=False)
    original.image(
        11, inspection_json='{"rhel_release_files_found": true}', status="error", is_encrypted=True
    )
    original.image(
        12,
        part={
            "owner_aws_account_id": 309956199498,
            "product_codes": psycopg2.extras.Json([{"ProductCodeType": "marketplace"}]),
            "usage_operation": "RunInstances:0010",
            "aws_marketplace_image": True,
        },
        name="RHEL-9-Access2",
    )
    original.insert(
        "awsmachineimagecopy", awsmachineimage_ptr_id=712, reference_awsmachineimage_id=711
    )
    original.image(13, status="inspecting")
    original.insert("machineimageinspectionstart", id=5, machineimage_id=13)
    original.instance(21, 3, 11)
    original.event(31, 21, "power_on", BEGIN, part={"instance_type": "m5.large"})
    original.event(32, 21, "attribute_change", BEGIN, part={"instance_type": "m5.xlarge"})
    original.event(33, 21, "attribute_change", BEGIN, part={"instance_type": "t3.micro"})
    reports = run(original)
    user = User.objects.get()
    assert (user.id, user.uuid, user.org_id, user.account_number) == (7, "uuid-7", "org7", None)
    assert (user.is_permanent, user.date_joined) == (True, BEGIN)
    assert not user.has_usable_password()
    assert UserTaskLock.objects.get().user == user
    aws, azure = CloudAccount.objects.order_by("id")
    assert (aws.id, aws.aws_account_id, aws.user) == (3, "000000000042", user)
    assert (aws.is_enabled, aws.enabled_at) == (True, BEGIN)
    assert (aws.platform_authentication_id, aws.platform_source_id) == (30, 31)
    assert (azure.id, str(azure.subscription_id)) == (4, "00000000-0000-0000-0000-000000000004")
    assert (azure.platform_application_is_paused, azure.is_enabled) == (True, False)
    states = AccountState.objects.order_by("account_id", "at", "id")
    assert list(states.values_list("account_id", "to_state")) == [
        (3, "created"), (3, "enabled"), (4, "created"), (4, "paused"),
    ]  # fmt: skip
    first, second, third = MachineImage.objects.order_by("id")
    assert (first.id, first.cloud_image_id, first.status) == (11, "ami-11", "error")
    assert (first.is_rhel, first.is_encrypted, first.created_at) == (True, True, BEGIN)
    assert (first.owner_aws_account_id, first.facts.get().valid_from) == ("000000000077", BEGIN)
    assert (second.reference_image, second.is_cloud_access, second.is_rhel) == (first, True, True)
    assert (second.marketplace, second.usage_operation) == (True, "RunInstances:0010")
    assert third.status == "pending"
    assert reports["images"]["notes"] == {"its inspection was in progress: pending": 1}
    attempt = InspectionAttempt.objects.get()
    assert (attempt.machine_image, attempt.outcome, attempt.counts) == (third, "imported", True)
    assert attempt.finished_at is not None
    instance = Instance.objects.get()
    assert (instance.id, instance.cloud_account, instance.machine_image) == (21, aws, first)
    assert (instance.power_state, instance.instance_type) == ("running", "t3.micro")
    events = InstanceEvent.objects.order_by("id")
    assert list(events.values_list("id", "event_type", "instance_type", "subnet", "source_id")) == [
        (31, "power_on", "m5.large", "subnet-1", "original:31"),
        (32, "attribute_change", "m5.xlarge", "subnet-1", "original:32"),
        (33, "attribute_change", "t3.micro", "subnet-1", "original:33"),
    ]
    assert Run.objects.get().start_time == BEGIN
    # Whatever comes next does not take their ids.
    assert factories.make_user().id > 7
    assert factories.make_event(instance=instance).id > 33
    assert factories.make_aws_image().id > 13


def test_a_tag_counts_for_all_who_used_the_image(original):
    for user in (1, 2, 3):
        original.user(user)
        original.account(user, user)
    original.image(1, rhel_detected_by_tag=True, openshift_detected=True)
    original.image(2)
    original.instance(1, 1, 1)
    original.instance(2, 2, 1)
    original.instance(3, 3, 2)
    assert run(original)["image tags"]["copied"] == 2
    tags = ImageTags.objects.order_by("cloud_account_id")
    assert list(tags.values_list("cloud_account_id", "rhel", "openshift")) == [
        (1, True, True), (2, True, True),
    ]  # fmt: skip


def test_an_azure_image_is_one_for_each_customer(original):
    for user in (1, 2):
        original.user(user)
        original.account(user, user, "azure")
        original.instance(user, user, 5, "azure")
        original.event(user, user, "power_on", BEGIN, "azure")
    told = {"image_reference": {"publisher": "RedHat", "offer": "RHEL", "sku": "8"}}
    original.image(
        5, "azure", part={"resource_id": "8"}, rhel_detected_by_tag=True,
        inspection_json=json.dumps(told),
    )  # fmt: skip
    original.image(6, "azure")
    reports = run(original)
    assert reports["images"]["left_out"] == {"no machine has it": 1}
    images = MachineImage.objects.order_by("user_id")
    assert list(images.values_list("user_id", "publisher", "offer", "cloud_image_id")) == [
        (1, "RedHat", "RHEL", "8"), (2, "RedHat", "RHEL", "8"),
    ]  # fmt: skip
    assert {image.is_rhel for image in images} == {True}
    for instance in Instance.objects.all():
        assert instance.machine_image.user_id == instance.cloud_account.user_id
    assert {total(counts) for _, day, counts in usage() if day > BEGIN.date()} == {1}


def test_twice_is_like_once(original):
    fill(original, instances=60)
    first = run(original)
    before, numbers = everything(), usage()
    again = run(original)
    assert copied(again) == [0] * len(KINDS)
    assert [again[kind]["present"] for kind in KINDS] == copied(first)
    assert everything() == before
    assert usage() == numbers


@pytest.mark.parametrize("kind", [*KINDS, "recalculation"])
def test_killed_in_the_middle_and_started_again(original, monkeypatch, kind):
    fill(original, instances=60)
    original.insert("machineimageinspectionstart", id=5, machineimage_id=1)
    monkeypatch.setattr(source, "ROWS_AT_ONCE", 3)
    calls = {"number": 0}

    class Killed(BaseException):
        pass

    def dying(function, at):
        def wrapped(*args, **kwargs):
            calls["number"] += 1
            if calls["number"] == at:
                raise Killed
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        if kind == "recalculation":
            target = "api.management.commands.import_original.recalculate"
            patch.setattr(target, dying(copying.recalculate, 2))
        else:
            steps = [
                step._replace(store=dying(step.store, 2 if kind == "events" else 1))
                if step.name == kind
                else step
                for step in copying.STEPS
            ]
            patch.setattr(copying, "STEPS", steps)
        with pytest.raises(Killed):
            run(original)
    run(original)
    found, numbers = everything(), usage()
    call_command("flush", interactive=False, verbosity=0)
    run(original)
    assert everything() == found
    assert usage() == numbers


def test_a_later_run_brings_what_came_meanwhile(original):
    """Before the switch the copy is repeated, while ours has got rows of its own."""
    original.user(1)
    original.account(1, 1)
    original.image(1, inspection_json='{"rhel_release_files_found": true}')
    original.instance(1, 1, 1)
    original.event(1, 1, "power_on", BEGIN)
    run(original)
    own = factories.make_instance(account=CloudAccount.objects.get())
    event = factories.make_event(instance=own)
    original.instance(own.id, 1, 1)
    original.event(event.id, own.id, "power_on", BEGIN)
    original.event(900, 1, "power_off", BEGIN + timedelta(days=2))
    reports = run(original)
    assert (reports["instances"]["copied"], reports["events"]["copied"]) == (1, 2)
    new = Instance.objects.get(cloud_instance_id=f"i-{own.id}")
    assert new.id != own.id
    assert new.events.get().occurred_at == BEGIN
    assert Run.objects.get(instance_id=1).end_time == BEGIN + timedelta(days=2)
    totals = {day: total(counts) for _, day, counts in usage() if counts}
    assert (totals[date(2023, 3, 2)], totals[date(2023, 3, 5)]) == (2, 1)


def test_a_customer_whom_kafka_told_us_of_meanwhile(original):
    """Matched by org id; the account that exists already keeps its row."""
    user = factories.make_user(org_id="200001", account_number=None)
    account = factories.make_aws_account(user=user, aws_account_id="000000001001")
    original.user(1)
    original.account(1, 1)
    original.account(2, 1)
    original.instance(5, 1, None)
    reports = run(original)
    assert (reports["users"]["present"], reports["accounts"]["present"]) == (1, 1)
    assert User.objects.get() == user
    assert Instance.objects.get().cloud_account == account
    assert CloudAccount.objects.filter(user=user).count() == 2


def test_dry_run_changes_nothing(original):
    fill(original, instances=60)
    dry = run(original, "--dry-run")
    assert everything() == {table: [] for table in TABLES}
    real = run(original)
    assert {kind: dry[kind]["copied"] for kind in KINDS} == {
        kind: real[kind]["copied"] for kind in KINDS
    }
    assert {report["dry_run"] for report in dry.values()} == {True}


def test_runs_may_be_left_to_the_hourly_passes(original):
    original.user(1)
    original.account(1, 1)
    original.instance(1, 1, None)
    original.event(1, 1, "power_on", BEGIN)
    run(original, "--no-recalculate")
    assert not Run.objects.exists()
    recalculate_runs_of_all_accounts()
    assert Run.objects.count() == 1


class TestRefusals:
    """What is no such database: one line, exit code 2, and no password in it."""

    def refused(self, url, *options):
        with pytest.raises(CommandError) as ended:
            call_command("import_original", "--database-url", url, *options)
        assert ended.value.returncode == 2
        assert "geheim" not in str(ended.value)
        return str(ended.value)

    def test_another_database(self, original):
        original.execute("DROP TABLE api_awsinstanceevent")
        assert "no table api_awsinstanceevent" in self.refused(original.url)

    def test_an_older_version(self, original):
        original.execute("ALTER TABLE api_user DROP is_permanent")
        assert "last version" in self.refused(original.url)

    def test_no_database(self, db):
        assert "cannot be read" in self.refused("postgresql://u:geheim@127.0.0.1:1/x")

    def test_no_address(self, db):
        assert "cannot be read" in self.refused("geheim")


def test_one_customer_who_cannot_be_calculated_stops_no_other(original, monkeypatch):
    fill(original, instances=20)

    def failing(*, user_id):
        if user_id == 2:
            raise RuntimeError
        copying.recalculate(user_id=user_id)

    monkeypatch.setattr("api.management.commands.import_original.recalculate", failing)
    with pytest.raises(CommandError, match="the users 2") as ended:
        run(original)
    assert ended.value.returncode == 1
    assert {user_id for user_id, *_ in usage()} == {1, 3, 4, 5}


def test_import_is_shown_on_the_console_with_its_progress(original, anybody):
    """One step for each kind of rows and each customer (spec 12 §1)."""
    fill(original, instances=20)
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("import_original", "--database-url", original.url, stdout=out)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.outcome) == ("import_original", "done")
    assert (entry.done, entry.total) == (len(KINDS) + 5, len(KINDS) + 5)
    assert entry.actor.endswith(" (command)")
    assert entry.remote_address == socket.gethostname()
    path = f"/internal/console/actions/{entry.id}/"
    assert f"Progress: {path}" in out.getvalue().splitlines()
    page = anybody.get(path).content.decode()
    assert f"{entry.done} of {entry.total}" in page
    assert "import_original" in anybody.get("/audit/").content.decode()


def test_dry_run_leaves_no_audit_row(original):
    run(original, "--dry-run")
    assert not AuditEntry.objects.exists()


def test_import_is_cancelled_on_the_console_and_started_again(original, operator, monkeypatch):
    """It ends after the batch that it is at; another start finds what is there."""
    fill(original, instances=20)
    batches = source.Original.batches

    def cancelled_meanwhile(reader, sql):
        if sql == queries.IMAGES:
            operator.post(f"/actions/{AuditEntry.objects.get().id}/cancel/")
        yield from batches(reader, sql)

    monkeypatch.setattr(source.Original, "batches", cancelled_meanwhile)
    with pytest.raises(CommandError, match="Cancelled by an operator") as ended:
        run(original)
    assert ended.value.returncode == 1
    entry = AuditEntry.objects.get(action="import_original")
    assert (entry.outcome, entry.done) == ("cancelled", 3)
    assert re.fullmatch(r"images: \d+ read", entry.detail)
    assert not Instance.objects.exists()
    monkeypatch.setattr(source.Original, "batches", batches)
    run(original)
    assert Instance.objects.count() == 20
    assert {user_id for user_id, *_ in usage()} == {1, 2, 3, 4, 5}


def test_import_that_fails_says_so_without_a_secret(original, monkeypatch):
    def broken(*, user_id):
        raise SystemExit("password=geheim")

    fill(original, instances=20)
    monkeypatch.setattr("api.management.commands.import_original.recalculate", broken)
    with pytest.raises(SystemExit):
        run(original)
    entry = AuditEntry.objects.get()
    assert entry.outcome == "failed"
    assert "geheim" not in entry.detail


def test_import_that_was_killed_is_closed_by_whoever_cancels_it_or_comes_next(original, operator):
    """A killed command cannot say so; it is not waited for after a quarter of an hour."""
    killed = AuditEntry.objects.create(actor="x", action="import_original", outcome="running")
    alive = AuditEntry.objects.create(actor="x", action="import_original", outcome="running")
    AuditEntry.objects.filter(id=killed.id).update(updated_at=Now() - timedelta(minutes=16))
    operator.post(f"/actions/{killed.id}/cancel/")
    killed.refresh_from_db()
    assert (killed.outcome, killed.detail) == ("failed", "The command broke off.")
    AuditEntry.objects.filter(id=alive.id).update(updated_at=Now() - timedelta(minutes=16))
    run(original)
    alive.refresh_from_db()
    assert alive.outcome == "failed"


def test_people_read_lines(original):
    fill(original, instances=20)
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("import_original", "--database-url", original.url, stdout=out)
    assert "users: 5 read, 5 copied, 0 there already" in out.getvalue()
    assert "Runs and usage of 5 customers are calculated." in out.getvalue()


def test_the_report_in_the_documentation_is_a_real_one(original):
    """A thousand instances, told to people (operations issue, item 5)."""
    fill(original, instances=1_000)
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("import_original", "--database-url", original.url, stdout=out)
    # The first line says where the console shows it.
    _, *lines = out.getvalue().splitlines()
    print(*lines, sep="\n")
    document = (django_settings.BASE_DIR / "docs" / "upgrading-from-the-original.md").read_text()
    assert textwrap.indent("\n".join(lines), "    ") in document


def test_nothing_is_ever_written_to_the_original(original):
    with (
        source.Original(original.url) as reader,
        reader._connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.ReadOnlySqlTransaction),
    ):
        cursor.execute("DELETE FROM api_user")


def test_definitions_that_are_known_stay(original):
    factories.make_definition(instance_type="m5.large", vcpu=3)
    fill(original, instances=5)
    run(original)
    assert InstanceDefinition.objects.get().vcpu == 3
