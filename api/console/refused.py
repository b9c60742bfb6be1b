"""Write down the forms that are refused (spec 12 §1).

Whoever is known gets a row for each. What a stranger sends, or a page that is not ours, gets a row
too, but only so many in an hour: a flood must neither fill the table nor hide what operators do.
"""

import logging
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.db.models.functions import Now
from django.http import HttpRequest

from api.console.access import ANONYMOUS, address_of, caller_of, name_of
from api.models import AuditEntry
from api.operator_actions import log
from util.identity import Caller
from util.request_id import current_request_id

logger = logging.getLogger(__name__)

MOST_IN_AN_HOUR = 60
"""Refused forms, of whomever, after which those of strangers and other pages get no row."""

NOT_FROM_A_PAGE_OF_OURS = "The form did not come from a page of the console."
NOT_READABLE = "Nobody can read the form."
_LAST = " It is the last one of this hour that is written down."


def operator_of(request: HttpRequest, caller: Caller) -> log.Operator:
    """Return who is acting, as the audit log names them."""
    return log.Operator(
        name=name_of(caller), address=address_of(request), request_id=current_request_id() or ""
    )


def record_refusal(request: HttpRequest, caller: Caller, *, detail: str, bounded: bool) -> None:
    """Write down that a form was refused; if ``bounded``, only while there are few of them.

    A form is one whose view has an ``action``. Nothing is written down, nor counted, of others.
    """
    match = request.resolver_match
    action = getattr(getattr(match and match.func, "view_class", None), "action", "")
    if not action or match is None:
        return
    if bounded:
        recent = _refused_in_the_last_hour()
        if recent >= MOST_IN_AN_HOUR:
            return
        if recent == MOST_IN_AN_HOUR - 1:
            detail += _LAST
    log.record(
        operator=operator_of(request, caller),
        action=action,
        target=" ".join(str(value) for value in match.kwargs.values()),
        outcome=AuditEntry.Outcome.REFUSED,
        detail=detail,
    )


def _refused_in_the_last_hour() -> int:
    refused = AuditEntry.objects.filter(
        created_at__gt=Now() - timedelta(hours=1), outcome=AuditEntry.Outcome.REFUSED
    )
    return refused[:MOST_IN_AN_HOUR].count()


def record_foreign_form(request: HttpRequest, detail: str = NOT_FROM_A_PAGE_OF_OURS) -> None:
    """Write down a form without a token of ours that is valid. Raises nothing of the database.

    The browser of an operator may have sent it without their knowing, so it is bounded, too.
    """
    try:
        caller = caller_of(request)
    except PermissionDenied:
        caller = ANONYMOUS
    try:
        record_refusal(request, caller, detail=detail, bounded=True)
    except DatabaseError:
        logger.exception("A refused form for %s is not written down", request.path)
