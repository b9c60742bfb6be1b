"""Names that AWS gives: of customers' roles, of accounts and regions (spec 04 §2). Pure."""

import re
from dataclasses import dataclass

ACCOUNT_ID_LENGTH = 12
MAX_ARN = 2048
"""Bytes of a role's ARN that AWS takes."""

MAX_REGION = 64
"""Characters that our tables have room for; AWS's own regions have up to 15."""

_WORDS = r"\w+(?:-\w+)"
_ARN = re.compile(
    rf"arn:(?P<partition>{_WORDS}*):(?P<service>\w+):(?P<region>{_WORDS}+)?"
    rf":(?P<account>[0-9]{{1,{ACCOUNT_ID_LENGTH}}})"
    r":(?P<resource_type>[^:/]+)(?:[:/](?P<resource>.*))?",
    re.ASCII | re.DOTALL,
)
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)*-[0-9]+")
_DIGITS = re.compile(rf"[0-9]{{1,{ACCOUNT_ID_LENGTH}}}")


class InvalidArnError(ValueError):
    """The text is not an ARN that we accept."""


@dataclass(frozen=True, slots=True)
class Arn:
    """An accepted ARN: the text as it was given, and its parts. The account id has 12 digits."""

    text: str
    partition: str
    service: str
    region: str | None
    account_id: str
    resource_type: str
    resource: str | None

    def __str__(self) -> str:
        return self.text


def parse_arn(text: str) -> Arn:
    """Take an ARN apart. Raises ``InvalidArnError`` for anything that spec 04 §2.1 refuses.

    The service need not be IAM nor the resource a role: a wrong kind fails when it is assumed.
    """
    match = _ARN.fullmatch(text)
    if match is None or text.splitlines() != [text] or not _can_be_stored(text):
        raise InvalidArnError(f"{text[:MAX_ARN]!r} is not an ARN")
    return Arn(
        text=text,
        partition=match["partition"],
        service=match["service"],
        region=match["region"],
        account_id=match["account"].zfill(ACCOUNT_ID_LENGTH),
        resource_type=match["resource_type"],
        resource=match["resource"],
    )


def _can_be_stored(text: str) -> bool:
    """Check that a text has nothing that neither AWS nor our tables take."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return "\0" not in text and size <= MAX_ARN


def normal_account_id(value: object) -> str | None:
    """Return the 12 digits of an AWS account id, however it is spelled, or None (spec 04 §2.3).

    Spellings are text or a whole number, with or without leading zeros.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text.zfill(ACCOUNT_ID_LENGTH) if _DIGITS.fullmatch(text) else None


def normal_region(value: object) -> str | None:
    """Return the name of a region if it has the form of AWS's, such as ``us-gov-west-1``."""
    if not isinstance(value, str) or len(value) > MAX_REGION:
        return None
    return value if _REGION.fullmatch(value) else None
