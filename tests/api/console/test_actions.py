"""What operators do on the console (spec 12 §1, §3): who may, and what is written down."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.db.models.functions import Now

from api.clouds.aws.cloudtrail.replay_runs import ReplayFailedError
from api.console import refused
from api.models import (
    AuditEntry,
    ConcurrentUsage,
    Registration,
    Run,
    UploadedRegistration,
    UsageRevision,
)
from api.operator_actions import log, steps
from tests import factories
from tests.api.console.conftest import NOW, Browser, associate, customer
from tests.api.internal.callers import ANYBODY, PSK, B
from tests.api.metering.notation import at, day

pytestmark = pytest.mark.django_db

OPERATOR = log.Operator(name="J D", address="10.0.0.1")


def forms_of(environment) -> dict[str, dict[str, str]]:
    """Return where each action is posted to, and what fills its form."""
    return {
        f"/customers/{environment.user.id}/recalculate/": {},
        f"/customers/{environment.user.id}/replay/": {"since": "2023-03-01"},
        f"/images/{environment.first.machine_image_id}/reinspect/": {},
    }


def started(environment, action: str, **days: str) -> AuditEntry:
    """Start an action about the customer of the tests."""
    return log.start(
        operator=OPERATOR,
        action=action,
        target="x",
        user_id=environment.user.id,
        arguments=days,
    )


def work(entry_id: int) -> bool:
    with time_machine.travel(at(NOW), tick=False):
        return log.work(entry_id)


def test_acceptance_7_each_action_leaves_an_audit_row(environment, operator, queued):
    """Who, what, when, from where and the outcome are written down (acceptance 7)."""
    for path, form in forms_of(environment).items():
        operator.post(path, headers={"X-Forwarded-For": "192.0.2.7"}, **form)
    entries = list(AuditEntry.objects.order_by("id"))
    assert [entry.action for entry in entries] == ["recalculate", "replay", "reinspect"]
    for entry in entries:
        assert entry.actor == "J D"
        assert entry.remote_address == "127.0.0.1 for 192.0.2.7"
        assert entry.request_id
        assert entry.created_at
    assert [entry.outcome for entry in entries] == ["queued", "queued", "done"]
    shown = operator.get("/audit/").content.decode()
    assert all(f'actions/{entry.id}/"' in shown for entry in entries)
    rows = ANYBODY.rows("auditentries/?action=replay")
    assert [row["id"] for row in rows] == [entries[1].id]
    assert rows[0]["arguments"] == {"since": "2023-03-01", "until": "2023-03-12"}


def test_acceptance_7_post_without_csrf_is_403(environment):
    """A form that another page sent does nothing (acceptance 7)."""
    browser = associate(csrf=True)
    for path, form in forms_of(environment).items():
        answer = browser.post(path, 403, **form)
        assert "did not come from the console" in answer.content.decode()
    entries = AuditEntry.objects.order_by("id")
    assert [entry.action for entry in entries] == ["recalculate", "replay", "reinspect"]
    for entry in entries:
        assert (entry.outcome, entry.actor) == ("refused", "J D")
        assert entry.remote_address == "127.0.0.1"
        assert entry.detail == "The form did not come from a page of the console."
        assert entry.finished_at
    assert entries[0].target == str(environment.user.id)


def test_form_with_a_wrong_identity_leaves_a_row_without_a_name(environment):
    """Who sends it is written down if it is known."""
    browser = Browser({"X-RH-IDENTITY": "%%%"}, csrf=True)
    browser.post(f"/customers/{environment.user.id}/recalculate/", 403)
    assert AuditEntry.objects.get().actor == "anonymous"


def test_page_that_is_no_form_leaves_no_row(environment):
    browser = associate(csrf=True)
    for path in ("/", "/nothing/", f"/customers/{environment.user.id}/"):
        browser.post(path, 403)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("csrf", [False, True])
def test_flood_of_refused_forms_does_not_fill_the_audit_log(environment, monkeypatch, csrf):
    """Only so many are written down in an hour, and the last one says so."""
    monkeypatch.setattr(refused, "MOST_IN_AN_HOUR", 3)
    path = f"/customers/{environment.user.id}/recalculate/"
    browser = Browser(csrf=csrf)
    for _ in range(5):
        browser.post(path, 403)
    entries = list(AuditEntry.objects.order_by("id"))
    assert [(one.actor, one.outcome) for one in entries] == [("anonymous", "refused")] * 3
    assert "last one" in entries[2].detail
    assert "last one" not in entries[1].detail
    associate().post(path, 400, since="never")
    assert AuditEntry.objects.count() == 4
    AuditEntry.objects.update(created_at=Now() - timedelta(minutes=61))
    browser.post(path, 403)
    assert AuditEntry.objects.count() == 5


def test_refused_form_is_answered_while_the_audit_log_cannot_be_written(environment, monkeypatch):
    def fail(**columns):
        raise OperationalError("away")

    monkeypatch.setattr(log, "record", fail)
    associate(csrf=True).post(f"/customers/{environment.user.id}/recalculate/", 403)


def test_form_of_the_page_itself_is_accepted(environment, queued):
    browser = associate(csrf=True)
    path = f"/customers/{environment.user.id}/"
    page = browser.get(path).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    browser.post(f"{path}recalculate/", csrfmiddlewaretoken=token)
    assert AuditEntry.objects.get().action == "recalculate"


def test_form_from_another_origin_is_403(environment):
    browser = associate(csrf=True)
    path = f"/customers/{environment.user.id}/"
    page = browser.get(path).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    browser.post(
        f"{path}recalculate/",
        403,
        headers={"Origin": "https://elsewhere.example"},
        csrfmiddlewaretoken=token,
    )


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    "caller",
    [Browser(), customer(), Browser({"X-RH-CLOUDIGRADE-PSK": PSK})],
    ids=["anybody", "customer", "service"],
)
def test_actions_always_need_an_associate(environment, settings, caller, required):
    """Also where the internal API is open to everybody (spec 12 §3)."""
    settings.INTERNAL_API_REQUIRE_AUTH = required
    settings.CLOUDIGRADE_PSKS = {"svc": PSK}
    for path, form in forms_of(environment).items():
        caller.post(path, 403, **form)
        caller.get(path, 403)
    written = set(AuditEntry.objects.values_list("outcome", flat=True))
    assert written == {"refused"}


def test_what_an_associate_is_refused_is_written_down(environment, operator):
    operator.post(f"/customers/{environment.user.id}/replay/", 400, since="potato")
    operator.post("/customers/999999/recalculate/", 404)
    operator.post(f"/images/{2**63}/reinspect/", 404)
    entries = AuditEntry.objects.order_by("id")
    assert [(entry.action, entry.outcome, entry.detail) for entry in entries] == [
        ("replay", "refused", "Answered 400."),
        ("recalculate", "refused", "Answered 404."),
        ("reinspect", "refused", "Answered 404."),
    ]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"since": "2023-03-02", "until": "2023-03-01"},
        {"since": "2020-01-01"},
        {"since": "2023-03-01", "account": "999999999999"},
        {"since": "2023-03-01", "account": "<script>"},
        {"since": "\0"},
    ],
)
def test_wrong_replays_are_400(environment, operator, form):
    operator.post(f"/customers/{environment.user.id}/replay/", 400, **form)
    assert not AuditEntry.objects.exclude(outcome="refused").exists()


def test_nothing_but_post_acts(environment, operator):
    for path in forms_of(environment):
        operator.get(path, 405)
    assert not AuditEntry.objects.exists()


def test_recalculation_makes_runs_and_usage_right(environment, operator, queued):
    """The numbers follow from the events again, whatever was stored in between."""
    Run.objects.filter(instance=environment.second).delete()
    ConcurrentUsage.objects.filter(date=day(10)).update(
        maximum_counts=[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 99]]
    )
    operator.post(f"/customers/{environment.user.id}/recalculate/", since="2023-03-08")
    entry = AuditEntry.objects.get()
    assert work(entry.id) is False
    entry.refresh_from_db()
    assert (entry.outcome, entry.done, entry.total) == ("done", 2, 2)
    assert entry.finished_at
    assert ConcurrentUsage.objects.get(date=day(10)).maximum_counts[0][5] == 2
    causes = UsageRevision.objects.get(date=day(10)).causes
    assert any("operator" in str(cause) for cause in causes)


def test_recalculation_withdraws_a_month_at_a_time(environment):
    entry = AuditEntry.objects.create(
        actor="J D",
        action="recalculate",
        user_id=environment.user.id,
        outcome="queued",
        arguments={"since": "2023-01-01", "until": "2023-03-12"},
    )
    assert len(steps.steps_of(entry)) == 1 + 3


REGISTRATIONS = """cloud,instance_id,registered_from,registered_until
aws,i-1,2023-03-01,
"""


def upload(environment, operator) -> AuditEntry:
    """Send a file of registrations; return the action that it starts."""
    file = SimpleUploadedFile("some.csv", REGISTRATIONS.encode())
    operator.post(f"/customers/{environment.user.id}/import/", file=file)
    return AuditEntry.objects.get(finished_at__isnull=True)


def test_import_stores_registrations(environment, operator, queued):
    """A worker stores what was uploaded, and the page shows how far it has come."""
    for told in ("1 added, 0 changed", "0 added, 0 changed, 1 known already"):
        entry = upload(environment, operator)
        assert (entry.action, entry.outcome) == ("import", "queued")
        assert entry.arguments == {"file": "some.csv"}
        page = operator.get(f"/actions/{entry.id}/").content.decode()
        assert 'hx-trigger="every 2s"' in page
        assert f"/actions/{entry.id}/cancel/" in page
        assert work(entry.id) is False
        entry.refresh_from_db()
        assert (entry.outcome, entry.done, entry.total) == ("done", 2, 2)
        assert told in entry.detail
        assert told in operator.get(f"/actions/{entry.id}/progress/").content.decode()
    assert Registration.objects.get().user == environment.user
    assert not UploadedRegistration.objects.exists()


def test_cancelled_import_has_stored_nothing(environment, operator, queued):
    entry = upload(environment, operator)
    operator.post(f"/actions/{entry.id}/cancel/")
    work(entry.id)
    entry.refresh_from_db()
    assert (entry.outcome, entry.detail) == ("cancelled", "Cancelled after 0 of 2 steps.")
    assert not Registration.objects.exists()
    # What it did not store goes with the next file.
    work(upload(environment, operator).id)
    assert Registration.objects.count() == 1
    assert not UploadedRegistration.objects.exists()


def test_import_by_two_workers_stores_once(environment, operator, queued):
    """A task that is delivered again after each of the steps does no harm."""
    entry = upload(environment, operator)
    for step in (*steps.steps_of(entry), *steps.steps_of(entry)):
        step()
    assert Registration.objects.count() == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a,b\n1,2\n", REGISTRATIONS.encode() + b"aws,i-2,potato,\n"]
)
def test_wrong_files_store_nothing(environment, operator, content):
    path = f"/customers/{environment.user.id}/import/"
    operator.post(path, 400, file=SimpleUploadedFile("<script>.csv", content))
    operator.post(path, 400, file="no file")
    assert not Registration.objects.exists()
    assert not UploadedRegistration.objects.exists()
    assert set(AuditEntry.objects.values_list("outcome", flat=True)) == {"refused"}


def test_cancelled_action_ends_before_its_next_step(environment, operator, monkeypatch):
    entry = started(environment, "recalculate", since="2023-03-01", until="2023-03-12")
    done = []
    monkeypatch.setattr(
        log, "steps_of", lambda _: [lambda: _cancel(operator, entry, done), lambda: done.append(2)]
    )
    work(entry.id)
    entry.refresh_from_db()
    assert done == [1]
    assert (entry.outcome, entry.done, entry.total) == ("cancelled", 1, 2)
    cancelling = AuditEntry.objects.get(action="cancel")
    assert (cancelling.target, cancelling.outcome) == (f"action {entry.id}", "done")
    operator.post(f"/actions/{entry.id}/cancel/")
    assert AuditEntry.objects.order_by("-id").first().outcome == "refused"


def _cancel(operator, entry, done) -> str:
    operator.post(f"/actions/{entry.id}/cancel/")
    done.append(1)
    return "first"


def test_interrupted_action_goes_on_after_its_last_step(environment, monkeypatch):
    entry = started(environment, "replay")
    done = []

    def lost():
        raise SystemExit

    monkeypatch.setattr(log, "steps_of", lambda _: [lambda: done.append(1) or "", lost])
    with pytest.raises(SystemExit):
        work(entry.id)
    monkeypatch.setattr(
        log, "steps_of", lambda _: [lambda: done.append(1) or "", lambda: done.append(2) or ""]
    )
    work(entry.id)
    entry.refresh_from_db()
    assert done == [1, 2]
    assert entry.outcome == "done"


def test_long_action_is_left_to_another_task(environment, monkeypatch):
    monkeypatch.setattr(log, "SECONDS_AT_ONCE", -1)
    entry = started(environment, "recalculate", since="2023-03-01", until="2023-03-12")
    assert work(entry.id) is True
    entry.refresh_from_db()
    assert entry.outcome == "running"


def test_failed_action_says_why_and_is_over(environment, monkeypatch):
    entry = started(environment, "replay")

    def fail(_):
        raise ValueError("S3 is away")

    monkeypatch.setattr(log, "steps_of", fail)
    assert work(entry.id) is False
    entry.refresh_from_db()
    assert (entry.outcome, entry.detail) == ("failed", "ValueError: S3 is away")


def test_replay_that_leaves_files_is_failed_not_done(environment, monkeypatch):
    entry = started(environment, "replay", since="2023-03-01", until="2023-03-02")

    def fail(wanted):
        raise ReplayFailedError("1 files failed, such as trails/x")

    monkeypatch.setattr(steps, "replay", fail)
    work(entry.id)
    entry.refresh_from_db()
    assert (entry.outcome, entry.done, entry.total) == ("failed", 0, 2)
    assert "trails/x" in entry.detail


def test_action_for_a_customer_who_is_gone_fails(db):
    entry = log.start(operator=OPERATOR, action="recalculate", target="customer 5", user_id=5)
    log.work(entry.id)
    entry.refresh_from_db()
    assert (entry.outcome, entry.detail) == ("failed", "The customer is gone.")


def test_progress_is_on_the_page_until_the_action_is_over(environment, operator):
    entry = started(environment, "replay", since="2023-03-01", until="2023-03-02")
    AuditEntry.objects.filter(id=entry.id).update(done=3, total=7)
    for path in (f"/actions/{entry.id}/", f"/actions/{entry.id}/progress/"):
        text = operator.get(path).content.decode()
        assert "3 of 7" in text
        assert 'hx-trigger="every 2s"' in text
        assert f"/actions/{entry.id}/cancel/" in text
        assert "/cancel/" not in Browser().get(path).content.decode()
    assert "3 of 7" in operator.get(f"/customers/{environment.user.id}/").content.decode()
    AuditEntry.objects.filter(id=entry.id).update(finished_at=at(NOW), outcome="done")
    text = operator.get(f"/actions/{entry.id}/progress/").content.decode()
    assert "hx-trigger" not in text
    assert "/cancel/" not in text


def test_reinspection_sets_the_image_back(environment, operator, queued):
    image = factories.make_aws_image(status="error")
    operator.post(f"/images/{image.id}/reinspect/")
    image.refresh_from_db()
    assert image.status == "pending"


def test_audit_rows_are_not_changed_over_the_api(environment, operator):
    entry = log.record(operator=OPERATOR, action="reinspect", target="x", outcome="done")
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        assert ANYBODY.send(method, f"{B}/auditentries/{entry.id}/").status_code == 405
