"""Filters and orders of lists are those that plain Python finds (spec 11 §3 acceptance 1)."""

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.models import Instance, MachineImage
from api.public import instance_groups
from api.public.instance_fields import IMAGE_BRACKETS, INSTANCE_BRACKETS
from tests.api.public.lists.expected import (
    EMPTY_IS_UNKNOWN,
    everything,
    image_values,
    in_order,
    instance_values,
    passes,
    texts_of,
)

pytestmark = pytest.mark.django_db


def url_of(path: str, query: dict[str, list[str]]) -> str:
    encoded = {
        name: ",".join(one.replace(",", "%2C") for one in wanted) for name, wanted in query.items()
    }
    return f"{path}?{urlencode(encoded)}"


def queries(brackets, rows: list[dict]) -> st.SearchStrategy:
    """Queries about values that there are, and a few others."""
    fields = {field.name: field for field in brackets.fields if field.name in rows[0]}
    known = {
        name: sorted(
            {text for row in rows if row[name] is not None for text in texts_of(row[name])}
        )
        for name in fields
    }
    closed = {"status", "cloud_type", "rhel_reason", "finding"}

    def values(name):
        others = [] if fields[name].read.__class__.__name__ == "OneOf" else ["nothing like it"]
        if name in ("account", "image"):
            others = ["999999999"]
        if not fields[name].has_text or name in closed:
            others = []
        if name in EMPTY_IS_UNKNOWN:
            others.append("")
        return st.lists(st.sampled_from(known[name] + others), min_size=1, max_size=3)

    def parts(name):
        texts = known[name] or ["x"]
        part = st.sampled_from(texts).flatmap(
            lambda text: st.tuples(st.integers(0, len(text)), st.integers(1, 4)).map(
                lambda place: text[place[0] : place[0] + place[1]]
            )
        )
        return st.lists(part.filter(bool), min_size=1, max_size=2)

    usable = [name for name in fields if known[name]]
    texts = [name for name in usable if fields[name].has_text]
    searched = [row[name] for row in rows for name in ("cloud_id", "name") if row[name]]
    search = st.sampled_from(searched).map(lambda text: [text[1:6].swapcase()])
    one = st.one_of(
        st.sampled_from(usable).flatmap(lambda n: st.tuples(st.just(f"filter[{n}]"), values(n))),
        st.sampled_from(usable).flatmap(lambda n: st.tuples(st.just(f"exclude[{n}]"), values(n))),
        st.sampled_from(texts).flatmap(
            lambda n: st.tuples(st.just(f"filter[contains:{n}]"), parts(n))
        ),
        st.tuples(st.just("filter[search]"), search),
    )
    order = st.sampled_from(list(fields)).flatmap(
        lambda n: st.tuples(st.just(f"order_by[{n}]"), st.sampled_from([["asc"], ["desc"]]))
    )
    return st.tuples(st.lists(one, max_size=3), st.lists(order, max_size=1)).map(
        lambda drawn: dict(drawn[0] + drawn[1])
    )


ANY_NUMBER = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize(("few", "limit"), [(instance_groups.FEW, 100), (0, 100), (10, 7)])
def test_1_instances_are_those_that_plain_python_finds(as_a, environment, monkeypatch, few, limit):
    """Acceptance 1: each filter against a brute-force filter over the whole list.

    Whether a page's rows are looked for by their ids or not, and wherever pages begin.
    """
    monkeypatch.setattr(instance_groups, "FEW", few)
    instances = Instance.objects.filter(cloud_account__user=environment).order_by(
        "created_at", "id"
    )
    rows = [(one.id, instance_values(environment, one)) for one in instances]

    @ANY_NUMBER
    @given(queries(INSTANCE_BRACKETS, [row for _, row in rows]))
    def check(query):
        expected = in_order([row for row in rows if passes(row[1], query)], query)
        path = url_of("/instances/", query | {"limit": [str(limit)]})
        assert everything(as_a, path, "instance_id") == expected

    check()


def test_1_images_are_those_that_plain_python_finds(as_a, environment):
    """Acceptance 1, of images."""
    images = MachineImage.objects.filter(instances__cloud_account__user=environment).distinct()
    rows = [(one.id, image_values(environment, one)) for one in images.order_by("id")]

    @ANY_NUMBER
    @given(queries(IMAGE_BRACKETS, [row for _, row in rows]))
    def check(query):
        expected = in_order([row for row in rows if passes(row[1], query)], query)
        path = url_of("/images/", query | {"limit": ["100"]})
        assert everything(as_a, path, "image_id") == expected

    check()
