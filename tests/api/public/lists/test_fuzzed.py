"""Whatever is asked of a list, no answer is a server error (spec 11 §3 acceptance 6)."""

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.public.instance_fields import IMAGE_BRACKETS, INSTANCE_BRACKETS
from tests.fuzzing import FUZZED_QUERIES

pytestmark = pytest.mark.django_db

texts = st.text(st.characters(exclude_characters="\r\n"), max_size=12)
names = st.one_of(
    texts,
    st.builds(
        "{}[{}{}{}".format,
        st.sampled_from(["filter", "exclude", "order_by", "group_by"]),
        st.sampled_from(["", "contains:"]),
        st.sampled_from([*{f.name for f in (*INSTANCE_BRACKETS.fields, *IMAGE_BRACKETS.fields)}])
        | st.just("search")
        | texts,
        st.sampled_from(["]", "]", "]", "", "]]"]),
    ),
    st.sampled_from(["include", "limit", "offset", "running_since"]),
)
VALUES = ["asc", "desc", "true", "1", "9" * 30, "running", "%", "%2C", "aws", "state,facets", "\\"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(
    max_examples=FUZZED_QUERIES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(query=st.dictionaries(names, st.sampled_from(VALUES) | texts, min_size=1, max_size=4))
def test_6_no_query_makes_a_server_error(as_a, environment, query):
    """Acceptance 6: fuzzed queries, half of them to each list."""
    text = urlencode(query, errors="surrogatepass")
    for path in ("/instances/", "/images/"):
        answer = as_a.get(f"{path}?{text}")
        assert answer.status_code in (200, 400, 404), (path, text)
