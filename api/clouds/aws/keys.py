"""Keys of the objects that CloudTrail delivers to our bucket (spec 04 §8.3, 09 P13). Pure."""

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from api.clouds.aws.arn import normal_account_id

ROOT = "AWSLogs"

_DELIVERY = re.compile(
    r"(?P<account>[0-9]{12})_CloudTrail_(?P<region>[a-z0-9-]+)"
    r"_(?P<day>[0-9]{8})T(?P<time>[0-9]{4})Z_(?P<random>\w+)\.json\.gz",
    re.ASCII,
)


class Kind(enum.Enum):
    """What an object is, told by its key alone."""

    LOG = "log"
    DIGEST = "digest"
    INSIGHT = "insight"


_KINDS = {"CloudTrail-Digest": Kind.DIGEST, "CloudTrail-Insight": Kind.INSIGHT}


@dataclass(frozen=True, slots=True)
class TrailKey:
    """What a key says of its object; the region is empty where the key names none."""

    text: str
    account_id: str
    kind: Kind
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
    """Tell whose object a key names, or None if it can be nobody's.

    Only the start ``AWSLogs/{account id}/`` has to have its shape; the rest is used where it does.
    """
    root, _, rest = text.partition("/")
    account, slash, rest = rest.partition("/")
    account_id = normal_account_id(account)
    if root != ROOT or not slash or account_id is None:
        return None
    folders = rest.split("/")
    return TrailKey(
        text=text,
        account_id=account_id,
        kind=_KINDS.get(folders[0], Kind.LOG),
        region=folders[1] if len(folders) > 2 and len(folders[1]) <= 64 else "",
        delivered_at=_delivery_time(folders[-1]),
    )


def _delivery_time(name: str) -> datetime | None:
    match = _DELIVERY.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match["day"] + match["time"], "%Y%m%d%H%M")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC)
