"""Reading ARNs and subscription ids (spec 03 §5)."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.accounts.errors import InvalidTokenError
from api.accounts.identity import identify
from api.sources.codes import ErrorCode

PATIENTLY = settings(deadline=None)
SUBSCRIPTION = "6d2fe1f4-3a51-4d3c-a4e2-25c4bd1f0d4e"


@pytest.mark.parametrize(
    "text",
    [
        SUBSCRIPTION,
        SUBSCRIPTION.upper(),
        SUBSCRIPTION.replace("-", ""),
        f"{{{SUBSCRIPTION}}}",
        f"urn:uuid:{SUBSCRIPTION}",
    ],
)
def test_spellings_of_a_subscription(text):
    assert identify(cloud_type="azure", token=text).subscription_id == uuid.UUID(SUBSCRIPTION)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not-a-uuid",
        f" {SUBSCRIPTION}",
        f"{SUBSCRIPTION} ",
        SUBSCRIPTION[:-1],
        f"{SUBSCRIPTION}0",
        SUBSCRIPTION[:-1] + "g",
        " " + SUBSCRIPTION[1:],
        "6_2fe1f4-3a51-4d3c-a4e2-25c4bd1f0d4e",
        "+d2fe1f4-3a51-4d3c-a4e2-25c4bd1f0d4e",
        None,
        5,
    ],
)
def test_what_is_no_subscription(text):
    with pytest.raises(InvalidTokenError) as raised:
        identify(cloud_type="azure", token=text)
    assert raised.value.code == ErrorCode.CG1006


@PATIENTLY
@given(st.text())
def test_any_text_is_an_identity_or_refused(text):
    for cloud_type in ("aws", "azure"):
        try:
            identity = identify(cloud_type=cloud_type, token=text)
        except InvalidTokenError:
            continue
        assert identity.cloud_type == cloud_type


@PATIENTLY
@given(st.uuids())
def test_every_uuid_is_read(value):
    assert identify(cloud_type="azure", token=str(value)).subscription_id == value
