"""ARNs and account ids (spec 04 §2, §11)."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.clouds.aws.arn import InvalidArnError, normal_account_id, parse_arn

ACCEPTED = {
    "arn:aws:iam::123456789012:role/r": "123456789012",
    "arn:aws-cn:iam::123456789012:role/r": "123456789012",
    "arn:aws-us-gov:iam::123456789012:role/r": "123456789012",
    "arn:aws:iam::123456789012:role:r": "123456789012",
    "arn:aws:iam::123456789012:role": "123456789012",
    "arn:aws:iam::123456789012:role/": "123456789012",
    "arn:aws:iam::123456789012:role/path/to:it/r": "123456789012",
    "arn:aws:iam::123456789012:some kind. of/r": "123456789012",
    "arn:aws:ec2:us-east-1:123456789012:instance/i-1": "123456789012",
    "arn:aws:iam::012345678901:role/r": "012345678901",
    "arn:aws:iam::12345:role/r": "000000012345",
    "arn:aws:iam::123456789012:role/rôle": "123456789012",
    "arn:aws:iam::123456789012:role/\t\x1b": "123456789012",
    "arn:aws:iam::123456789012:" + "r" * 2022: "123456789012",
}
REFUSED = [
    "",
    "potato",
    " arn:aws:iam::123456789012:role/r",
    "ARN:aws:iam::123456789012:role/r",
    "arn::iam::123456789012:role/r",
    "arn:aws::us-east-1:123456789012:role/r",
    "arn:aws:execute-api::123456789012:role/r",
    "arn:aws:iam:useast:123456789012:role/r",
    "arn:aws:iam:::role/r",
    "arn:aws:s3:::bucket",
    "arn:aws:iam::1234567890123:role/r",
    "arn:aws:iam::12345678901x:role/r",
    "arn:aws:iam::123456789012:",
    "arn:aws:iam::123456789012:/r",
    "arn:aws:iam::123456789012::r",
    "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/r",
    "arn:aws:iam::123456789012:role/r\n",
    "arn:aws:iam::123456789012:role/r\u2028x",
    "arn:aws:iam::123456789012:role/r\0",
    "arn:aws:iam::123456789012:" + "r" * 2023,
    "arn:aws:iam::123456789012:" + "ô" * 1012,
    "arn:aws:iam::123456789012:role/\ud800",
]


@pytest.mark.parametrize(("text", "account_id"), ACCEPTED.items())
def test_accepted(text, account_id):
    arn = parse_arn(text)
    assert arn.account_id == account_id
    assert str(arn) == arn.text == text


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    with pytest.raises(InvalidArnError):
        parse_arn(text)


def test_parts():
    arn = parse_arn("arn:aws-us-gov:ec2:us-gov-east-1:000000000012:some kind/a:b/c")
    assert (arn.partition, arn.service, arn.region) == ("aws-us-gov", "ec2", "us-gov-east-1")
    assert (arn.resource_type, arn.resource) == ("some kind", "a:b/c")


words = st.from_regex(r"\A[a-z0-9_]+(-[a-z0-9_]+)*\Z")
free_text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(
    partition=words,
    service=st.from_regex(r"\A[A-Za-z0-9_]+\Z"),
    region=st.just("") | st.from_regex(r"\A[a-z]+-[a-z]+-[0-9]\Z"),
    account=st.from_regex(r"\A[0-9]{1,12}\Z"),
    kind=free_text.filter(lambda text: text and not {":", "/"} & set(text)),
    rest=st.just("") | st.tuples(st.sampled_from(":/"), free_text).map("".join),
)
@example("aws", "iam", "", "0", "role", "")
def test_whatever_follows_the_grammar_is_accepted(partition, service, region, account, kind, rest):
    arn = parse_arn(f"arn:{partition}:{service}:{region}:{account}:{kind}{rest}")
    assert arn.account_id == account.zfill(12)
    assert (arn.partition, arn.service, arn.region or "") == (partition, service, region)
    assert arn.resource_type == kind
    assert arn.resource == (rest[1:] if rest else None)


@given(st.text())
def test_any_text_is_accepted_whole_or_refused(text):
    with contextlib.suppress(InvalidArnError):
        assert parse_arn(text).text == text


@pytest.mark.parametrize(
    "spelling", ["012345678901", "12345678901", 12345678901, "0012345678901"[1:]]
)
def test_account_ids_in_all_spellings(spelling):
    assert normal_account_id(spelling) == "012345678901"


@pytest.mark.parametrize(
    "value",
    [None, "", "o-abc", "1234567890123", 1234567890123, -1, True, 1.0, ["1"], " 1", "٣", "1\n"],
)
def test_what_is_no_account_id(value):
    assert normal_account_id(value) is None
