"""What messages of the usage topic look like, and what they must agree with."""

import json
from datetime import timedelta
from pathlib import Path

from jsonschema import Draft202012Validator

from api.models import ConcurrentUsage
from tests.api.metering.notation import day
from tests.api.public.callers import caller_for

SCHEMA = json.loads(Path("docs/schemas/usage-day-changed.v1.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def id_of(user, number, revision):
    return f"{user.uuid}:{day(number)}:{revision}"


def shown(user):
    """What ``concurrent/`` shows of all of a customer's days."""
    first = user.date_joined.date()
    stored = ConcurrentUsage.objects.filter(user=user).order_by("-date").first()
    end = stored.date + timedelta(days=1)
    response = caller_for(user).get(f"/concurrent/?start_date={first}&end_date={end}&limit=100")
    assert response.status_code == 200, response.content
    return {one["date"]: one["maximum_counts"] for one in response.json()["data"]}
