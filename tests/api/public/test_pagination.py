"""Pages and their links (spec 01 §5), on the public lists."""

import pytest

from tests import factories
from tests.api.public.callers import BASE

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def accounts(customer_a):
    return [factories.make_aws_account(user=customer_a) for _ in range(28)]


def query_of(link: str | None) -> str | None:
    if link is None:
        return None
    path, _, query = link.partition("?")
    assert path == f"{BASE}/accounts/"
    return query


@pytest.mark.parametrize(
    ("query", "rows", "following", "preceding", "last"),
    [
        ("", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=5&offset=3", 5, "limit=5&offset=8", "limit=5", "limit=5&offset=23"),
        ("?limit=5&offset=10", 5, "limit=5&offset=15", "limit=5&offset=5", "limit=5&offset=23"),
        ("?offset=28", 0, None, "limit=10&offset=18", "limit=10&offset=18"),
        ("?offset=1000", 0, None, "limit=10&offset=990", "limit=10&offset=18"),
        ("?limit=1000000", 28, None, None, "limit=100&offset=0"),
        ("?limit=100", 28, None, None, "limit=100&offset=0"),
        ("?limit=28", 28, None, None, "limit=28&offset=0"),
        ("?limit=27", 27, "limit=27&offset=27", None, "limit=27&offset=1"),
        ("?limit=0", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=-5", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=abc", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=5.5", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?limit=%00", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?offset=-1", 10, "limit=10&offset=10", None, "limit=10&offset=18"),
        ("?offset=x&limit=20", 20, "limit=20&offset=20", None, "limit=20&offset=8"),
        ("?limit=3&limit=4", 4, "limit=4&offset=4", None, "limit=4&offset=24"),
        (
            f"?offset={10**30}",
            0,
            None,
            f"limit=10&offset={10**30 - 10}",
            "limit=10&offset=18",
        ),
    ],
)
def test_page(as_a, query, rows, following, preceding, last):
    answer = as_a.get(f"/accounts/{query}")
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"meta", "links", "data"}
    assert body["meta"] == {"count": 28}
    assert len(body["data"]) == rows
    links = {name: query_of(link) for name, link in body["links"].items()}
    assert (links["next"], links["previous"], links["last"]) == (following, preceding, last)
    assert links["first"] == f"{last.partition('&')[0]}&offset=0"


def test_links_keep_all_other_parameters(as_a):
    query = "z=%2B%2F:&abc=&offset=5&limit=2&a=1&a=2&blank=x+y&name=%C3%A9"
    links = as_a.get(f"/accounts/?{query}").json()["links"]
    kept = "a=1&a=2&abc=&blank=x+y&limit=2&name=%C3%A9&offset={}&z=%2B%2F%3A"
    assert query_of(links["next"]) == kept.format(7)
    assert query_of(links["previous"]) == kept.format(3)


def test_pages_join_up(as_a, accounts):
    ids = []
    link = f"{BASE}/accounts/?limit=9"
    while link:
        body = as_a.get(link.removeprefix(BASE)).json()
        ids += [row["account_id"] for row in body["data"]]
        link = body["links"]["next"]
    assert ids == sorted(account.id for account in accounts)


def test_a_month_of_usage(as_a, usage_of_a):
    path = "/concurrent/?start_date=2019-03-01&end_date=2019-04-01"
    body = as_a.get(path).json()
    assert body["meta"]["count"] == 31
    assert len(body["data"]) == 10
    dates = "end_date=2019-04-01&limit=10{}&start_date=2019-03-01"
    assert body["links"] == {
        "first": f"{BASE}/concurrent/?{dates.format('&offset=0')}",
        "next": f"{BASE}/concurrent/?{dates.format('&offset=10')}",
        "previous": None,
        "last": f"{BASE}/concurrent/?{dates.format('&offset=21')}",
    }
