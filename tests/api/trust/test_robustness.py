"""Whatever is asked about trust is answered, or refused by a 400 that names it (spec 10).

Parameters are those of the OpenAPI documents, so that none is forgotten.
"""

import random
from urllib.parse import quote

import pytest
import time_machine

from api.internal import openapi
from api.public import schema
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.notation import at
from tests.api.public.callers import BASE
from tests.fuzzing import FUZZED_QUERIES

pytestmark = pytest.mark.django_db

PUBLIC = ("explain", "usage-changes", "coverage", "corrections", "concurrent")
INTERNAL = ("explain", "coverage", "corrections")
VALUES = [
    *("", "*", "2023-03-10", "2023-03-11", "2023-03-12", "2022-12-31", "0001-01-01", "9999-12-31"),
    *("2023-02-30", "10.03.2023", "2023-03-10T00:00:00Z", "yesterday", "0", "1", "-1", "1e9"),
    *("9" * 30, "NaN", "x86_64", "_ANY", "quality", "missed_off", "partial", "true", "a,b", ","),
    *("%2C", "\0", "é", "💥", "%", "'", '"', "\\", "{}", "x" * 3000),
]
DATES = ["2023-03-10", "2023-03-11"]
MEANINGLESS = "a/b"
"""What is neither a date, a number, an id nor a word."""


def parameters_of(document, path) -> list[str]:
    """Return the names of a route's parameters in queries, those in brackets one by one."""
    names = []
    for parameter in document["paths"][path]["get"].get("parameters", []):
        if parameter.get("style") == "deepObject":
            members = parameter["schema"]["properties"]
            names += [f"{parameter['name']}[{member}]" for member in members]
        elif parameter["in"] == "query":
            names.append(parameter["name"])
    return names


ROUTES = {
    **{f"{BASE}/{name}/": parameters_of(schema.document(), f"/{name}/") for name in PUBLIC},
    **{f"{B}/{name}/": parameters_of(openapi.document(), f"{B}/{name}/") for name in INTERNAL},
}


@pytest.fixture
def get(environment, ask):
    """What asks a route as the customer, or as an operator about the customer."""
    instance = environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    timeline = f"{BASE}/instances/{instance.id}/timeline/"

    def asked(path, query=""):
        path = timeline if path is None else path
        user = f"user_id={environment.user.id}&" if path.startswith(f"{B}/explain/") else ""
        headers = {} if path.startswith(B) else ask.caller.headers
        names = {name.replace("-", "_"): value for name, value in headers.items()}
        with time_machine.travel(at("12T02"), tick=False):
            return ANYBODY.get(f"{path}?{user}{query}", **names)

    return asked


@pytest.mark.slow
@pytest.mark.parametrize("path", [*ROUTES, None])
def test_random_queries(get, path):
    """No answer is a server error, and what refuses names parameters or says why."""
    names = [*ROUTES.get(path, []), "limit", "offset", "include", "filter[foo]", "filter[", "foo"]
    source = random.Random(10)
    assert get(path, "start_date=2023-03-10" if path else "").status_code in (200, 425)
    for _ in range(FUZZED_QUERIES // 20):
        asked = source.sample(names, source.choice([1, 1, 2, 3]))
        values = [
            source.choice(DATES if name.endswith("date") and source.random() < 0.5 else VALUES)
            for name in asked
        ]
        query = "&".join(
            f"{quote(name, safe='[]')}={quote(value)}"
            for name, value in zip(asked, values, strict=True)
        )
        answer = get(path, query)
        assert answer.status_code in (200, 400, 425), query
        assert answer["Content-Type"] == "application/json", query
        if answer.status_code == 400:
            assert set(answer.json()) <= set(asked), query


LENIENT = {
    *("limit", "offset", "include", "sla", "role", "arch", "usage", "service_type"),
    "is_explained",
}
"""Of these each value means something, or is taken for the default (01 §5, 02 §2, 10 §1, §4)."""
TEXTS = {"account_number", "org_id", "username", "aws_account_id", "region", "arn", "error_code"}
"""Columns of text, in which any text may be looked for (decision 52)."""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path, names in ROUTES.items()
        for name in names
        if name not in LENIENT | TEXTS
    ],
)
def test_what_makes_no_sense_is_named(get, path, name):
    """Each parameter alone, with what is no value of any: 400 that names it and nothing else."""
    answer = get(path, f"{name}={quote(MEANINGLESS, safe='')}")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()) == [name]


@pytest.mark.parametrize("path", [f"{BASE}/explain/", f"{B}/explain/"])
@pytest.mark.parametrize("name", ["arch", "role", "sla", "usage", "service_type"])
def test_a_key_cannot_hold_null_characters(get, path, name):
    answer = get(path, f"{name}=a%00b")
    assert (answer.status_code, list(answer.json())) == (400, [name])
