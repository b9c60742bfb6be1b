"""Understanding messages of the sources service (spec 03 §1.5, §2)."""

import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.sources.messages import (
    CREATE,
    DEEPEST_BODY,
    DESTROY,
    LARGEST_BODY,
    LARGEST_HEADERS,
    PAUSE,
    TASKS,
    TENANT_ID_LENGTH,
    UNPAUSE,
    UPDATE,
    MalformedMessageError,
    Tenant,
    bounded_headers,
    checked_headers,
    checked_tenant,
    decode_body,
    decode_headers,
    first_header,
    kept_body,
    kept_headers,
    objects_of,
    platform_id,
    tenant_of,
)

PATIENTLY = settings(deadline=None, max_examples=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def encoded(document) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


class TestDecoding:
    def test_headers_keep_order_duplicates_and_nothing(self):
        raw = [("a", b"1"), ("b", None), ("a", "ü".encode())]
        assert decode_headers(raw) == [["a", "1"], ["b", None], ["a", "ü"]]

    def test_no_headers(self):
        assert decode_headers(None) == []

    def test_headers_that_are_not_utf8(self):
        with pytest.raises(MalformedMessageError, match="header is not UTF-8"):
            decode_headers([("a", b"\xff")])

    @PATIENTLY
    @given(st.dictionaries(st.text(), JSON))
    def test_body(self, value):
        assert decode_body(json.dumps(value).encode()) == value

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (None, "no body"),
            (b"", "not JSON"),
            (b"this is not json", "not JSON"),
            (b"\xff{}", "not UTF-8"),
            (b"[]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"5", "not a JSON object"),
            (b'{"a": NaN}', "not JSON"),
            (b'{"a": 1' + b"0" * 5000 + b"}", "not JSON"),
            (b"[" * 200_000, "not JSON"),
        ],
    )
    def test_bad_bodies(self, raw, reason):
        with pytest.raises(MalformedMessageError, match=reason):
            decode_body(raw)

    @PATIENTLY
    @given(st.binary())
    def test_any_bytes_are_an_object_or_malformed(self, raw):
        with contextlib.suppress(MalformedMessageError):
            assert isinstance(decode_body(raw), dict)


def test_first_header_is_case_sensitive():
    headers = [["Event_type", "x"], ["event_type", "a"], ["event_type", "b"]]
    assert first_header(headers, "event_type") == "a"
    assert first_header([], "event_type") is None


class TestTenant:
    ACCOUNT = ["x-rh-sources-account-number", "1701"]
    ORG = ["x-rh-sources-org-id", "3340851"]
    IDENTITY = ["x-rh-identity", encoded({"identity": {"account_number": "5", "org_id": "6"}})]

    @pytest.mark.parametrize(
        ("headers", "tenant"),
        [
            ([ACCOUNT], ("1701", None)),
            ([ORG], (None, "3340851")),
            ([ACCOUNT, ORG], ("1701", "3340851")),
            ([ACCOUNT, IDENTITY], ("1701", None)),
            ([IDENTITY], ("5", "6")),
            ([["x-rh-sources-org-id", ""], IDENTITY], ("5", "6")),
            ([["x-rh-sources-org-id", None], ORG], (None, None)),
            ([["x-rh-identity", "%%%"]], (None, None)),
            ([["x-rh-identity", encoded([])]], (None, None)),
            ([["x-rh-identity", encoded({"identity": []})]], (None, None)),
            ([["x-rh-identity", base64.b64encode(b"\xff").decode()]], (None, None)),
            ([], (None, None)),
        ],
    )
    def test_extraction(self, headers, tenant):
        assert tenant_of(headers) == Tenant(*tenant)

    @PATIENTLY
    @given(st.lists(st.tuples(st.sampled_from(["x-rh-identity", "a"]), st.none() | st.text())))
    def test_any_headers_are_read(self, headers):
        tenant_of(headers)

    @PATIENTLY
    @given(JSON)
    def test_any_identity_is_read(self, document):
        tenant_of([["x-rh-identity", encoded(document)]])

    def test_truth(self):
        assert not Tenant(None, None)
        assert Tenant("1", None)
        assert Tenant(None, "1")


class TestObjects:
    @pytest.mark.parametrize(
        ("event_type", "value", "expected"),
        [
            (CREATE, {"id": 31, "application_id": 11, "authentication_id": "22"}, (11, 22)),
            (DESTROY, {"application_id": "11"}, (11, None)),
            (UPDATE, {"id": "22", "application_id": 11}, (None, 22)),
            (PAUSE, {"id": 11, "authentication_id": 22}, (11, None)),
            (UNPAUSE, {"id": "11"}, (11, None)),
            (CREATE, {"application_id": 2**63, "authentication_id": [22]}, (None, None)),
            (PAUSE, {}, (None, None)),
        ],
    )
    def test_what_a_message_is_about(self, event_type, value, expected):
        assert objects_of(event_type, value) == expected


DEEP: dict = {"id": "11", "x": []}
for _ in range(DEEPEST_BODY):
    DEEP["x"] = [DEEP["x"]]


class TestHostileMessages:
    """Whatever a message is like, it harms neither those behind it nor our memory."""

    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ({"id": "11", "padding": "x" * 10}, LARGEST_BODY + 1),
            (DEEP, 100),
            ({"id": "11", "application_id": [1], "authentication_id": 2**70}, LARGEST_BODY + 1),
        ],
    )
    def test_ids_of_a_huge_body_are_kept(self, value, size):
        assert kept_body(value, size) == {"id": "11"}

    @pytest.mark.parametrize("value", [{"id": 11, "x": [[{"y": None}]]}, {}, DEEP["x"][0][0]])
    def test_other_bodies_are_kept_as_they_are(self, value):
        assert kept_body(value, LARGEST_BODY) is value

    @pytest.mark.parametrize("name", ["x-rh-sources-account-number", "x-rh-sources-org-id"])
    def test_ids_that_no_customer_has(self, name):
        assert checked_tenant([[name, "9" * TENANT_ID_LENGTH]])
        with pytest.raises(MalformedMessageError):
            checked_tenant([[name, "9" * (TENANT_ID_LENGTH + 1)]])

    def test_identity_with_an_id_that_no_customer_has(self):
        identity = encoded({"identity": {"org_id": "9" * (TENANT_ID_LENGTH + 1)}})
        with pytest.raises(MalformedMessageError):
            checked_tenant([["x-rh-identity", identity]])

    def test_huge_headers(self):
        padding = ["z", "x" * LARGEST_HEADERS]
        assert bounded_headers([padding, TestTenant.ORG]) == [TestTenant.ORG]
        assert bounded_headers([["z", "x"], TestTenant.ORG]) == [["z", "x"], TestTenant.ORG]
        with pytest.raises(MalformedMessageError):
            bounded_headers([["x-rh-identity", "x" * LARGEST_HEADERS]])

    @pytest.mark.parametrize(
        "body",
        [
            b'{"id": ' + b"9" * 5000 + b"}",
            b'{"id": ' + b"[" * 100_000,
            b'{"id": 1' * 10_000,
            b'\xef\xbb\xbf{"id": 1}',
            b'{"id": NaN}',
            b'"id"',
        ],
    )
    def test_what_is_no_json_object(self, body):
        with pytest.raises(MalformedMessageError):
            decode_body(body)

    @PATIENTLY
    @given(st.dictionaries(st.text(), JSON), st.sampled_from([10, LARGEST_BODY + 1]))
    def test_what_is_kept_is_about_the_same_objects(self, value, size):
        for event_type in TASKS:
            assert objects_of(event_type, kept_body(value, size)) == objects_of(event_type, value)


class TestKeptHeaders:
    def test_identity_is_dropped_beside_explicit_headers(self):
        headers = [["event_type", "x"], ["encoding", "json"], TestTenant.ORG, TestTenant.IDENTITY]
        assert kept_headers(headers) == [["event_type", "x"], TestTenant.ORG]

    def test_identity_is_kept_where_nothing_else_tells(self):
        headers = [["x-rh-sources-org-id", ""], TestTenant.IDENTITY]
        assert kept_headers(headers) == headers

    @PATIENTLY
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["x-rh-identity", "x-rh-sources-org-id", "x-rh-sources-account-number", "z"]
                ),
                st.sampled_from([None, "", "1", TestTenant.IDENTITY[1]]),
            )
        )
    )
    def test_kept_headers_name_the_same_customer(self, headers):
        assert tenant_of(kept_headers(headers)) == tenant_of(headers)


@pytest.mark.parametrize("headers", [None, "x", {}, [["a"]], [["a", 1]], [None], [["a", "b", "c"]]])
def test_headers_of_other_shapes(headers):
    with pytest.raises(MalformedMessageError):
        checked_headers(headers)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        ("31", 31),
        ("0031", 31),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        ("9" * 5000, None),
        (0, None),
        (-1, None),
        ("-1", None),
        ("1.0", None),
        (1.0, None),
        (True, None),
        ("²", None),
        ("\u0661", None),
        (" 1", None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_platform_ids(value, number):
    assert platform_id(value) == number
