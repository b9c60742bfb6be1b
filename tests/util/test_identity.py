"""Who is calling (01 §2, 02 §3, 03 §2)."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from util.identity import (
    FAKE_IDENTITY_HEADER,
    IDENTITY_HEADER,
    PSK_ACCOUNT_NUMBER_HEADER,
    PSK_HEADER,
    PSK_ORG_ID_HEADER,
    Caller,
    InvalidPsk,
    MalformedIdentity,
    UnusableTenant,
    decode_identity,
    read_caller,
    tenant_from_headers,
)

PSKS = {"subscriptions": "sekrit", "other": "pässword"}


def encode(document):
    return base64.b64encode(json.dumps(document).encode()).decode()


def identity(**members):
    return encode({"identity": members})


def call(headers, **options):
    return read_caller(headers, psks=PSKS, **options)


def tenant(headers, **options):
    caller = call(headers, **options)
    return caller and (caller.account_number, caller.org_id)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"account_number": "100001", "org_id": "200002"}, ("100001", "200002")),
        ({"account_number": "100001"}, ("100001", None)),
        ({"org_id": "200002"}, (None, "200002")),
        ({"account_number": "", "org_id": "400004"}, (None, "400004")),
        ({"account_number": None, "org_id": 0}, (None, None)),
        ({"account_number": False, "org_id": "x"}, (None, "x")),
        ({"account_number": 100001}, ("100001", None)),
        ({"account_number": "100001 "}, ("100001 ", None)),
        ({"account_number": ["1"], "org_id": {"a": 1}}, (None, None)),
        ({"internal": {"org_id": "1"}}, (None, None)),
        ({"account_number": "1", "user": None}, ("1", None)),
        ({"account_number": "1", "user": "text"}, ("1", None)),
        ({"type": "Associate", "associate": {"givenName": "J"}}, (None, None)),
    ],
)
def test_account_number_and_org_id(members, expected):
    assert tenant({IDENTITY_HEADER: identity(**members)}) == expected


def test_an_identity_document_without_identity_has_no_tenant():
    caller = call({IDENTITY_HEADER: encode({"user": {"email": "x"}})})
    assert not caller.has_tenant


@pytest.mark.parametrize("headers", [{}, {IDENTITY_HEADER: ""}, {FAKE_IDENTITY_HEADER: identity()}])
def test_no_header_is_nobody(headers):
    assert call(headers) is None


def test_companion_headers_mean_nothing_without_a_key():
    assert call({PSK_ACCOUNT_NUMBER_HEADER: "1", PSK_ORG_ID_HEADER: "2"}) is None


@pytest.mark.parametrize(
    "header",
    [
        "111",
        " ",
        base64.b64encode(b"Not JSON").decode(),
        base64.b64encode(b"{}").decode().rstrip("="),
        base64.b64encode(b'{"identity": {}} more').decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 50_000).decode(),
        base64.b64encode(b'{"identity": ' + b"9" * 5000 + b"}").decode(),
        encode([]),
        encode("x"),
        encode(None),
        encode({"identity": None}),
        encode({"identity": []}),
        encode({"identity": "x"}),
        "ÿ\x80",
    ],
)
def test_malformed_identities(header):
    with pytest.raises(MalformedIdentity, match="invalid identity header failed parsing"):
        call({IDENTITY_HEADER: header})


def test_characters_outside_the_alphabet_and_surplus_padding_are_skipped():
    encoded = identity(account_number="100001")
    spaced = encoded[:8] + " \n" + encoded[8:] + "=="
    assert tenant({IDENTITY_HEADER: spaced}) == ("100001", None)


@given(st.text())
def test_no_header_can_do_worse_than_be_malformed(text):
    with contextlib.suppress(MalformedIdentity):
        decode_identity(text)


@pytest.mark.parametrize("value", ["1\0", "\ud800"])
def test_ids_that_no_database_can_hold(value):
    with pytest.raises(UnusableTenant, match="Incorrect authentication credentials"):
        call({IDENTITY_HEADER: identity(account_number=value)})


def test_a_known_key_is_decisive():
    headers = {
        PSK_HEADER: "sekrit",
        PSK_ACCOUNT_NUMBER_HEADER: "300003",
        IDENTITY_HEADER: "not even base64",
    }
    assert call(headers) == Caller(account_number="300003", service="subscriptions")
    headers = {PSK_HEADER: "sekrit", PSK_ACCOUNT_NUMBER_HEADER: "", PSK_ORG_ID_HEADER: "400004"}
    assert call(headers) == Caller(org_id="400004", service="subscriptions")


def test_a_key_alone_is_a_service_without_tenant():
    caller = call({PSK_HEADER: "sekrit", IDENTITY_HEADER: identity(account_number="1")})
    assert not caller.has_tenant
    assert call({PSK_HEADER: "pässword"}).service == "other"


@pytest.mark.parametrize("key", ["bad", "", "SEKRIT", "sekrit ", "\ud800"])
def test_unknown_keys(key):
    with pytest.raises(InvalidPsk, match="Invalid PSK specified in header"):
        call({PSK_HEADER: key, IDENTITY_HEADER: identity(account_number="1")})


def test_an_empty_configured_key_is_nobody_s():
    with pytest.raises(InvalidPsk):
        read_caller({PSK_HEADER: ""}, psks={"service": ""})


def test_the_fake_identity_replaces_the_real_one_where_it_is_allowed():
    headers = {
        IDENTITY_HEADER: identity(account_number="real"),
        FAKE_IDENTITY_HEADER: identity(account_number="fake"),
    }
    assert tenant(headers) == ("real", None)
    assert tenant(headers, fake_identity_allowed=True) == ("fake", None)
    headers[FAKE_IDENTITY_HEADER] = ""
    assert tenant(headers, fake_identity_allowed=True) is None
    del headers[FAKE_IDENTITY_HEADER]
    assert tenant(headers, fake_identity_allowed=True) == ("real", None)


def test_associates():
    assert call({IDENTITY_HEADER: identity(type="Associate")}).is_associate
    assert not call({IDENTITY_HEADER: identity(type="User")}).is_associate
    assert not call({PSK_HEADER: "sekrit"}).is_associate


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], (None, None)),
        (
            [["x-rh-sources-account-number", "1"], ["x-rh-sources-org-id", "2"]],
            ("1", "2"),
        ),
        (
            [["x-rh-sources-org-id", "2"], ["x-rh-identity", identity(account_number="1")]],
            (None, "2"),
        ),
        (
            [["x-rh-sources-org-id", ""], ["x-rh-identity", identity(account_number=1)]],
            ("1", None),
        ),
        (
            [
                ["x-rh-identity", identity(account_number="1", org_id="2")],
                ["x-rh-identity", identity(account_number="3")],
            ],
            ("1", "2"),
        ),
        ([["x-rh-sources-org-id", "first"], ["x-rh-sources-org-id", "second"]], (None, "first")),
        ([["X-RH-Sources-Org-Id", "2"]], (None, None)),
        ([["x-rh-sources-org-id", None]], (None, None)),
        ([["x-rh-identity", None]], (None, None)),
        ([["x-rh-identity", "no base64!"]], (None, None)),
        ([["x-rh-identity", encode([])]], (None, None)),
        ([["x-rh-identity", base64.b64encode(b"\xff").decode()]], (None, None)),
    ],
)
def test_the_tenant_of_a_kafka_message(headers, expected):
    assert tenant_from_headers(headers) == expected
