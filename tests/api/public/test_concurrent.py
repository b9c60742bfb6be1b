"""Daily concurrent usage (spec 01 §8)."""

import json
from datetime import UTC, date, datetime
from unittest import mock

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from api.metering import count_text, reports
from api.metering.count_text import MEMBERS
from api.public import usage
from tests import factories
from tests.api.public.callers import BASE, caller_for

pytestmark = pytest.mark.django_db

TOO_LATE = "start_date cannot be today or in the future."
END_TOO_LATE = "end_date cannot be in the future."
TOO_EARLY = "{} must be same as or after the user creation date."
NO_DATE = "{} must be a date (YYYY-MM-DD)."


def days(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [day["date"] for day in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["2019-04-16"]),
        ("?start_date=", ["2019-04-16"]),
        ("?start_date=2019-04-10", [f"2019-04-{day}" for day in range(10, 17)]),
        ("?start_date=2019-04-14&end_date=2019-04-17", [f"2019-04-{day}" for day in (14, 15, 16)]),
        ("?start_date=2019-01-01&end_date=2019-01-02", ["2019-01-01"]),
        ("?end_date=2019-04-01", []),
        ("?start_date=2019-04-16&end_date=2019-04-16", []),
        ("?start_date=2019-04-16&end_date=2019-01-01", []),
        ("?start_date=2019-02-09&end_date=2019-02-12&offset=5", []),
        ("?start_date=2019-02-09&end_date=2019-02-12&offset=2", ["2019-02-11"]),
        ("?start_date=20190416", ["2019-04-16"]),
        ("?start_date=2019-04-16T23:59:59-05:00", ["2019-04-16"]),
        ("?start_date=2019-04-16%2000:00:00%2B00:00", ["2019-04-16"]),
        ("?start_date=2019-04-16T00:00:00.000001Z", ["2019-04-16"]),
        ("?start_date=potato&start_date=2019-04-16", ["2019-04-16"]),
    ],
)
def test_ranges(as_a, usage_of_a, query, expected):
    assert days(as_a.get(f"/concurrent/{query}")) == expected


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("start_date=2019-04-17", {"start_date": [TOO_LATE]}),
        ("start_date=9999-12-31", {"start_date": [TOO_LATE]}),
        ("end_date=2019-04-18", {"end_date": [END_TOO_LATE]}),
        (
            "start_date=2019-04-18&end_date=2019-04-24",
            {"start_date": [TOO_LATE], "end_date": [END_TOO_LATE]},
        ),
        ("start_date=2019-04-16&end_date=2019-04-24", {"end_date": [END_TOO_LATE]}),
        ("start_date=2018-12-31", {"start_date": [TOO_EARLY.format("start_date")]}),
        (
            "start_date=2018-12-18+00:00:00%2B00:00&end_date=2018-12-20+00:00:00%2B00:00",
            {name: [TOO_EARLY.format(name)] for name in ("start_date", "end_date")},
        ),
        ("start_date=0001-01-01", {"start_date": [TOO_EARLY.format("start_date")]}),
        *(
            (f"end_date={value}", {"end_date": [NO_DATE.format("end_date")]})
            for value in (
                "potato",
                "today",
                "%20",
                "0",
                "12",
                "2019",
                "Wed",
                "2019-02-30",
                "2019-13-01",
                "2019-01-02abc",
                "2019-01-02T24:00:00",
                "2019-01-02T12:60",
                "2019-01-02%00",
                "01/02/2019",
                "2%20Jan%202019",
                "20191301",
                "12345678901234567890123",
                "%D9%A2%D9%A0%D9%A1%D9%A9-01-02",
                "0000-01-01",
                "10000-01-01",
            )
        ),
    ],
)
def test_errors(as_a, usage_of_a, query, errors):
    answer = as_a.get(f"/concurrent/?{query}")
    assert (answer.status_code, answer.json()) == (400, errors)


def test_empty_values_stay_in_links(as_a, usage_of_a):
    links = as_a.get("/concurrent/?start_date=").json()["links"]
    assert links["first"] == f"{BASE}/concurrent/?limit=10&offset=0&start_date="


def test_whoever_joined_today(spring_2019):
    user = factories.make_user(date_joined=factories.utc("2019-04-17"))
    answer = caller_for(user).get("/concurrent/")
    assert answer.status_code == 400
    assert answer.json() == {"start_date": [TOO_EARLY.format("start_date")]}


def test_whoever_joined_yesterday(spring_2019):
    user = factories.make_user(date_joined=factories.utc("2019-04-16T23:59:59"))
    factories.make_usage(user=user, date=date(2019, 4, 16))
    answer = caller_for(user).get("/concurrent/")
    assert answer.json()["data"] == [{"date": "2019-04-16", "maximum_counts": []}]


def test_early_wins_over_late(spring_2019):
    user = factories.make_user(date_joined=factories.utc("2019-05-01"))
    answer = caller_for(user).get("/concurrent/?start_date=2019-04-20&end_date=2019-04-20")
    assert answer.json() == {name: [TOO_EARLY.format(name)] for name in ("start_date", "end_date")}


class TestUnavailable:
    @pytest.mark.parametrize(
        ("first", "last", "status"),
        [
            ("2019-04-16", "2019-04-16", 425),
            ("2019-01-01", None, 425),
            ("2019-04-17", None, 200),
            ("2019-04-01", "2019-04-15", 200),
        ],
    )
    def test_stale_days(self, as_a, customer_a, usage_of_a, first, last, status):
        factories.make_stale(
            user=customer_a,
            first_day=date.fromisoformat(first),
            last_day=last and date.fromisoformat(last),
        )
        assert as_a.get("/concurrent/").status_code == status

    def test_marks_of_others_do_not_matter(self, as_a, customer_b, usage_of_a):
        factories.make_stale(user=customer_b, first_day=date(2019, 1, 1))
        assert as_a.get("/concurrent/").status_code == 200

    def test_only_the_page_matters(self, as_a, usage_of_a):
        path = "/concurrent/?start_date=2019-02-01&end_date=2019-02-20"
        assert as_a.get(path).status_code == 425
        assert as_a.get(f"{path}&offset=10").status_code == 200
        assert as_a.get(f"{path}&limit=9").status_code == 200

    def test_when_to_come_back(self, as_a, spring_2019):
        answer = as_a.get("/concurrent/")
        assert (answer.status_code, answer["Retry-After"]) == (425, "60")

    def test_reading_calculates_nothing(self, as_a, customer_a, spring_2019):
        as_a.get("/concurrent/")
        assert not customer_a.concurrent_usage.exists()


SEPARATORS = ["], [", 'a"], ["b', '\\"], [\\"', ", 3], [", "], [1, 2, 3, 4, 5, 6], [", "é, 1", "]]"]
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.sampled_from([*SEPARATORS, '"', "\\", "_ANY", "", "[", ", "]) | text
count = st.tuples(values, values, values, values, values, st.integers(0, 10**9))


def stored_day(counts: str) -> reports.StoredDay:
    return reports.StoredDay(1, len(counts.encode()), counts)


@given(st.lists(st.lists(count, max_size=4), min_size=1, max_size=4))
def test_rendering_understands_any_text(counts):
    """Stored as PostgreSQL writes JSON: one blank after each comma, nothing escaped needlessly."""
    first = date(2019, 12, 30).toordinal()
    stored = {
        date.fromordinal(first + number): stored_day(json.dumps(day, ensure_ascii=False))
        for number, day in enumerate(counts)
    }
    with mock.patch.object(reports, "daily_usage", return_value=stored):
        days = usage.show_days(1, range(first, first + len(counts)))
        shown = [json.loads(day) for day in days]
    assert shown == [
        {
            "date": str(day),
            "maximum_counts": [dict(zip(MEMBERS, row, strict=True)) for row in rows],
        }
        for day, rows in zip(stored, counts, strict=True)
    ]


@pytest.mark.parametrize("value", SEPARATORS)
def test_stored_text_is_as_expected(as_a, customer_a, spring_2019, value):
    rows = [[value, "b", "c", "d", "e", 2], ["a", value, "c", "d", "e", 1]]
    factories.make_usage(user=customer_a, date=date(2019, 4, 16), counts=rows)
    (day,) = as_a.get("/concurrent/").json()["data"]
    assert [list(entry.values()) for entry in day["maximum_counts"]] == rows


def test_internal_bounds_reach_into_today(time_machine):
    """What the internal route needs of this module (spec 02 §6)."""
    time_machine.move_to(datetime(2019, 4, 17, 10, tzinfo=UTC), tick=False)
    start = usage.Bound("start_date", default=-1, latest=0, too_late="cannot be in the future.")
    end = usage.Bound("end_date", default=0, latest=1, too_late="cannot be in the future.")
    query = {"start_date": "2019-04-17", "end_date": "2019-04-18"}
    days = usage.read_days(query, joined=date(2019, 1, 1), start=start, end=end)
    assert [date.fromordinal(day) for day in days] == [date(2019, 4, 17)]


@pytest.fixture
def paths_of_large_pages(as_a, customer_a, spring_2019):
    """Ten days whose counts differ in kind and length; paths of pages, public and internal."""
    odd = [*SEPARATORS, "\u2028", "\x7f", "\U0001f4a1", '"', "\\", "</script>", "\t\n", ""]
    for number in range(10):
        rows = [
            [odd[(number + index) % len(odd)], f"role {index}", "é", "_ANY", "", index * number]
            for index in range(number * number)
        ]
        factories.make_usage(user=customer_a, date=date(2019, 4, 7 + number), counts=rows)
    query = "concurrent/?start_date=2019-04-07&x=%22"
    return [
        f"{base}/{query}{page}"
        for base in (BASE, "/internal/api/cloudigrade/v1")
        for page in ("", "&limit=3", "&limit=4&offset=5", "&offset=20")
    ]


def answer_to(caller, path):
    return Client(raise_request_exception=False).get(path, headers=caller.headers)


class TestLargePages:
    """README decisions 38 and 43: a page is bounded by bytes in memory, and the same to clients."""

    @pytest.mark.parametrize("at_once", [0, 1, 200, 1500])
    def test_are_the_same_byte_by_byte(self, as_a, paths_of_large_pages, monkeypatch, at_once):
        whole = [answer_to(as_a, path) for path in paths_of_large_pages]
        monkeypatch.setattr(reports, "BYTES_AT_ONCE", at_once)
        monkeypatch.setattr(count_text, "KNOWN_CHARACTERS", at_once)
        streams = [answer_to(as_a, path) for path in paths_of_large_pages]
        assert not any(answer.streaming for answer in whole)
        assert sum(answer.streaming for answer in streams) >= 2
        for stream, former in zip(streams, whole, strict=True):
            assert stream.status_code == 200
            assert stream["Content-Type"] == former["Content-Type"] == "application/json"
            assert stream.getvalue() == former.content

    def test_are_the_same_from_stored_texts(self, as_a, customer_a, paths_of_large_pages):
        """Whether counts are stored as they are shown, or not, is not seen."""
        former = [answer_to(as_a, path).content for path in paths_of_large_pages]
        stored = reports.daily_usage(
            user_id=customer_a.id, first_day=date(2019, 4, 7), last_day=date(2019, 4, 16)
        )
        for day, counts in stored.items():
            text = count_text.named_counts(counts.counts)
            row = customer_a.concurrent_usage.filter(date=day)
            assert row.update(shown_counts=text, shown_revision=1)
        assert [answer_to(as_a, path).content for path in paths_of_large_pages] == former

    def test_little_is_read_at_once(self, as_a, customer_a, paths_of_large_pages, monkeypatch):
        monkeypatch.setattr(reports, "BYTES_AT_ONCE", 1500)
        read = []
        counts_of_days = reports.counts_of_days
        monkeypatch.setattr(
            reports,
            "counts_of_days",
            lambda **named: read.append(counts_of_days(**named)) or read[-1].copy(),
        )
        stored = reports.daily_usage(
            user_id=customer_a.id, first_day=date(2019, 4, 7), last_day=date(2019, 4, 16)
        )
        assert {day.counts for day in stored.values()} == {None}
        sizes = [day.bytes for day in stored.values()]
        answer_to(as_a, paths_of_large_pages[0]).getvalue()
        batches = [[len(counts.encode()) for counts in batch] for batch in read]
        assert [size for batch in batches for size in batch] == sizes
        assert all(len(batch) == 1 or sum(batch) <= 1500 for batch in batches)
        assert max(len(batch) for batch in batches) > 1

    def test_a_missing_day_is_seen_before_the_first_byte(
        self, as_a, customer_a, paths_of_large_pages, monkeypatch
    ):
        monkeypatch.setattr(reports, "BYTES_AT_ONCE", 1)
        factories.make_stale(user=customer_a, first_day=date(2019, 4, 16))
        assert answer_to(as_a, paths_of_large_pages[0]).status_code == 425
        assert answer_to(as_a, paths_of_large_pages[1]).status_code == 200

    @pytest.mark.parametrize("change", ["stale", "recalculated", "gone"])
    def test_break_when_a_day_changes(
        self, as_a, customer_a, paths_of_large_pages, monkeypatch, change
    ):
        """Rather than to show a page that never was."""
        monkeypatch.setattr(reports, "BYTES_AT_ONCE", 1)
        stream = iter(answer_to(as_a, paths_of_large_pages[0]).streaming_content)
        seen = [next(stream) for _ in range(3)]
        last = customer_a.concurrent_usage.filter(date=date(2019, 4, 16))
        if change == "stale":
            factories.make_stale(user=customer_a, first_day=date(2019, 4, 16))
        elif change == "recalculated":
            last.update(maximum_counts=[], revision=2)
        else:
            last.delete()
        with pytest.raises(reports.UsageChanged):
            seen.extend(stream)
        text = b"".join(seen).decode()
        assert '"date":"2019-04-15"' in text
        assert '"date":"2019-04-16"' not in text
        assert not text.endswith("]}]}")
