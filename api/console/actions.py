"""What operators do (spec 12 §1, §3): POST with CSRF, by associates only, each written down."""

import datetime
import io
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from api.billing.registrations import WrongFileError
from api.billing.uploads import checked_upload
from api.clouds.aws.arn import normal_account_id
from api.console.access import require_associate, storable
from api.console.progress import actions_table
from api.console.refused import operator_of, record_refusal
from api.console.views import ConsoleView, Refusal, known_customer, known_id
from api.inspection.reinspection import reinspect_image
from api.models import AuditEntry, CloudAccount, CloudType, MachineImage, User
from api.operator_actions import log
from api.operator_actions.commands import close_broken_off
from util import clock

Action = AuditEntry.Action

LONGEST_REPLAY = 400
"""Days of logs that one action may work on."""

LARGEST_FILE = 5_000_000
"""Bytes of a file of registrations that is checked while its sender waits."""


class ActingView(ConsoleView):
    """A form's target. What is refused is written down, too."""

    http_method_names = ["post", "options"]
    action: str = ""

    def check_access(self) -> None:
        """Raise PermissionDenied unless an associate is calling."""
        super().check_access()
        require_associate(self.caller)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the form; write down that it was refused."""
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST" and response.status_code >= 400:
            record_refusal(
                request,
                self.caller,
                detail=f"Answered {response.status_code}.",
                bounded=not (self.caller.is_associate or self.caller.service),
            )
        return response

    def operator(self) -> log.Operator:
        """Return who is acting."""
        return operator_of(self.request, self.caller)


def _action_page(entry: AuditEntry) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("console-action", args=[entry.id]))


def _day(request: HttpRequest, name: str, default: datetime.date | None) -> datetime.date:
    """Return a day of the form. Raises Refusal."""
    text = request.POST.get(name, "").strip()
    if not text and default is not None:
        return default
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise Refusal(400, f"{name}: Enter a date, such as 2023-03-10.") from error


class RecalculateView(ActingView):
    """Make a customer's runs right, and calculate the usage again."""

    action = Action.RECALCULATE

    def post(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """Start it, by default for all days since the customer joined."""
        user = known_customer(user_id)
        today = clock.today()
        since = _day(request, "since", user.joined_on)
        if since > today:
            raise Refusal(400, "since: The day lies in the future.")
        entry = log.start(
            operator=self.operator(),
            action=self.action,
            target=f"customer {user.id}",
            user_id=user.id,
            arguments={"since": since.isoformat(), "until": today.isoformat()},
        )
        return _action_page(entry)


class ReplayView(ActingView):
    """Work again on a customer's CloudTrail logs."""

    action = Action.REPLAY

    def post(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """Start it, for some days of delivery and one AWS account or all."""
        user = known_customer(user_id)
        since = _day(request, "since", None)
        until = _day(request, "until", clock.today())
        if until < since:
            raise Refusal(400, "until: The last day is before the first one.")
        if (until - since).days >= LONGEST_REPLAY:
            raise Refusal(400, f"until: At most {LONGEST_REPLAY} days can be replayed at once.")
        arguments = {"since": since.isoformat(), "until": until.isoformat()}
        if account := request.POST.get("account", "").strip():
            arguments["aws_account_id"] = _account(user, account)
        entry = log.start(
            operator=self.operator(),
            action=self.action,
            target=f"customer {user.id}",
            user_id=user.id,
            arguments=arguments,
        )
        return _action_page(entry)


def _account(user: User, text: str) -> str:
    """Return the AWS account id if it is the customer's. Raises Refusal."""
    account_id = normal_account_id(text)
    mine = CloudAccount.objects.filter(user=user, cloud_type=CloudType.AWS)
    if account_id is None or not mine.filter(aws_account_id=account_id).exists():
        raise Refusal(400, "account: The customer has no such AWS account.")
    return account_id


class ImportView(ActingView):
    """Import from when to when a customer's machines were registered (spec 11 §2)."""

    action = Action.IMPORT

    def post(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """Check the CSV file, and have all of its rows stored; larger files are for the command."""
        user = known_customer(user_id)
        upload = request.FILES.get("file")
        if upload is None or (upload.size or 0) > LARGEST_FILE:
            raise Refusal(400, f"file: Choose a CSV file of at most {LARGEST_FILE:,} bytes.")
        file: Any = upload.file
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            with checked_upload(text) as keep:
                entry = log.start(
                    operator=self.operator(),
                    action=self.action,
                    target=f"customer {user.id}",
                    user_id=user.id,
                    arguments={"file": storable(upload.name or "")[:200]},
                )
                keep(entry.id)
        except WrongFileError as error:
            raise Refusal(400, f"file: {storable(str(error))}") from error
        finally:
            # Whoever made the file closes it.
            text.detach()
        return _action_page(entry)


class ReinspectView(ActingView):
    """Inspect an image once more."""

    action = Action.REINSPECT

    def post(self, request: HttpRequest, image_id: int) -> HttpResponse:
        """Begin the inspection anew; withdraws no usage until a result differs."""
        known_id(image_id)
        cloud_id = MachineImage.objects.filter(id=image_id).values_list("cloud_image_id", flat=True)
        if not reinspect_image(image_id=image_id):
            raise Http404
        entry = log.record(
            operator=self.operator(),
            action=self.action,
            target=f"image {image_id} ({cloud_id.first()})",
            outcome=AuditEntry.Outcome.DONE,
        )
        return _action_page(entry)


class CancelView(ActingView):
    """End a long action early."""

    action = Action.CANCEL

    def post(self, request: HttpRequest, action_id: int) -> HttpResponse:
        """Have it end after the step that it is at."""
        entry = _entry(action_id)
        close_broken_off()
        log.cancel(operator=self.operator(), action_id=entry.id)
        return _action_page(entry)


def _entry(action_id: int) -> AuditEntry:
    entry = AuditEntry.objects.filter(id=known_id(action_id)).first()
    if entry is None:
        raise Http404
    return entry


class ConsoleActionView(ConsoleView):
    """How far an action has come."""

    def get(self, request: HttpRequest, action_id: int) -> HttpResponse:
        """Show it."""
        entry = _entry(action_id)
        table = actions_table([entry], title="Audit entry")
        return self.page("action", {"entry": entry}, tables=[table])


class ProgressView(ConsoleView):
    """The part of the page that is loaded again while an action is going on."""

    def get(self, request: HttpRequest, action_id: int) -> HttpResponse:
        """Show it."""
        context = {"entry": _entry(action_id), "may_act": self.caller.is_associate}
        return render(request, "console/progress.html", context)
