"""Keys of the objects that CloudTrail delivers to our bucket (spec 04 §8.3, 09 P13). Pure.

A key is read as a whole. Who may write to a bucket with a prefix of his own could otherwise have
his logs taken for another's: ``AWSLogs/{another's id}/x/AWSLogs/{his id}/CloudTrail/...``.
"""

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from api.clouds.aws.arn import normal_account_id, normal_region

ROOT = "AWSLogs"


class ObjectKind(enum.Enum):
    """What an object is, told by its key alone."""

    LOG = "CloudTrail"
    DIGEST = "CloudTrail-Digest"
    INSIGHT = "CloudTrail-Insight"


_KEY = re.compile(
    rf"{ROOT}/(?P<account>[0-9]+)/(?P<kind>{'|'.join(kind.value for kind in ObjectKind)})"
    r"/(?P<region>[^/]+)/[0-9]{4}/[0-9]{2}/[0-9]{2}/(?P<name>[^/]+)"
)
_DELIVERY = re.compile(
    r"(?P<account>[0-9]{12})_CloudTrail_(?P<region>[a-z0-9-]+)"
    r"_(?P<day>[0-9]{8})T(?P<time>[0-9]{4})Z_(?P<random>\w+)\.json\.gz",
    re.ASCII,
)
MAX_KEY = 1024
"""Bytes of a key at most; S3 has no longer ones."""
_CLAIM = f"_{ObjectKind.LOG.value}_"
"""What a name holds that claims to be one of CloudTrail's own."""


@dataclass(frozen=True, slots=True)
class TrailKey:
    """What a key says of its object; when that was delivered is None where its name is no stamp."""

    text: str
    account_id: str
    kind: ObjectKind
    region: str
    delivered_at: datetime | None

    @property
    def packed_name(self) -> str:
        """A short name that is unique among the files of one account, region and hour."""
        name = self.text.rpartition("/")[2]
        match = _DELIVERY.fullmatch(name)
        if match is None or (match["account"], match["region"]) != (self.account_id, self.region):
            return self.text
        return f"{match['time'][2:]}_{match['random']}"


def parse_key(text: str) -> TrailKey | None:
    """Return whose object a key names, or None if CloudTrail does not write such a key for anybody.

    The folder decides whose it is. A name of CloudTrail's own form has to have it from its first
    character to its last; any other name is that of a copy, and says nothing.
    """
    match = _KEY.fullmatch(text)
    if match is None or not text.isprintable() or len(text.encode()) > MAX_KEY:
        return None
    account_id, region = normal_account_id(match["account"]), normal_region(match["region"])
    kind, name = ObjectKind(match["kind"]), match["name"]
    own = _DELIVERY.fullmatch(name)
    if account_id is None or region is None:
        return None
    if kind is ObjectKind.LOG and own is None and _CLAIM in name:
        return None
    return TrailKey(
        text=text,
        account_id=account_id,
        kind=kind,
        region=region,
        delivered_at=_delivery_time(own) if own else None,
    )


def _delivery_time(match: re.Match[str]) -> datetime | None:
    try:
        moment = datetime.strptime(match["day"] + match["time"], "%Y%m%d%H%M")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC)
