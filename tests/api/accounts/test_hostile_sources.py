"""Messages and answers of a sources service that has lost its way (issue 14; spec 03 §1, §6).

Whatever one member of them is, a handler does its work, is repeated, or says that the message makes
no sense; and nobody's account changes but that of the ids that the message names.
"""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.accounts import events
from api.models import CloudAccount
from api.sources import client
from api.sources.client import SourcesError
from api.sources.messages import TASKS
from tests.api.accounts.records import (
    APPLICATION,
    ARN,
    AUTHENTICATION,
    BODY,
    HEADERS,
    OUR_TYPE,
    SUBSCRIPTION,
)
from tests.api.accounts.workers import run
from tests.factories import make_aws_account, make_user

pytestmark = pytest.mark.django_db

LINK = {"id": "31", "application_id": "11", "authentication_id": "22"}

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63), 10**30, 901, "901", 11.0, float("inf")])
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "0", "-1", "\0", "\u0661", "11 ", "x" * 5000, ARN, SUBSCRIPTION])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@st.composite
def spoilt(draw: st.DrawFn, record: dict[str, Any]) -> dict[str, Any]:
    """A record of which one member is missing or another one, if any."""
    record = copy.deepcopy(record)
    name = draw(st.sampled_from([*record, "paused_at", "password"]))
    if draw(st.booleans()):
        record.pop(name, None)
    else:
        record[name] = draw(JUNK)
    return record


@pytest.fixture
def key(settings):
    """Sources is asked with a key."""
    settings.SOURCES_PSK = "key"


KINDS = ["cloud-meter-arn", "lighthouse_subscription_id"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    event_type=st.sampled_from(sorted(TASKS)),
    value=st.just(BODY) | spoilt(BODY),
    application=st.just(APPLICATION) | spoilt(APPLICATION),
    authentication=st.sampled_from(KINDS).flatmap(
        lambda kind: spoilt(AUTHENTICATION | {"authtype": kind})
    ),
    link=st.just(LINK) | spoilt(LINK),
)
def test_no_member_breaks_anything_or_touches_another_customer(
    key, clouds, queued, monkeypatch, event_type, value, application, authentication, link
):
    CloudAccount.objects.all().delete()
    other = make_aws_account(
        user=make_user(), platform_application_id=901, platform_authentication_id=902
    )
    answers = {
        "application_types": {"data": [OUR_TYPE]},
        "application_authentications": {"data": [link], "meta": {"count": 1}},
        "applications": application,
        "authentications": authentication,
    }

    def answer(url: str, **_: Any) -> Any:
        return next(found for part, found in answers.items() if f"/{part}" in url)

    monkeypatch.setattr(client, "_get", answer)
    client.forget_everything()
    with suppress(SourcesError):
        outcome = events.handle(event_type=event_type, value=value, headers=HEADERS)
        for child_task in outcome.child_tasks:
            with suppress(SourcesError):
                run(child_task.task, *child_task.args, headers=dict(child_task.headers))
    names_the_other = 901 in (application_id := [value.get("id"), value.get("application_id")])
    if not names_the_other and "901" not in application_id:
        before = (other.is_enabled, other.platform_application_is_paused, other.account_arn)
        other.refresh_from_db()
        assert before == (other.is_enabled, other.platform_application_is_paused, other.account_arn)
