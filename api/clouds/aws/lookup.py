"""Get: what the logs do not say, asked of EC2 on demand (spec 04 §8.8).

One question per account and region for all instances, and one for all images, however many logs
mention them. A place that can not be asked concerns only what needed it.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from api.clouds.aws.admission import Admitted
from api.clouds.aws.arn import parse_arn
from api.clouds.aws.describe import (
    RUNNING,
    DescribedImage,
    DescribedInstance,
    describe_images,
    describe_instances,
)
from api.clouds.aws.errors import code_of, is_access_denied, is_throttling
from api.clouds.aws.knowledge import (
    Account,
    KnownImage,
    KnownInstance,
    load_images,
    load_instances,
)
from api.clouds.aws.records import Sighting
from api.models import DescribeRun, MachineImage
from util import clock

logger = logging.getLogger(__name__)

PLACES_AT_ONCE = 8

Answer = TypeVar("Answer")


class Place(NamedTuple):
    """An account and one of its regions."""

    account: Account
    region: str


class Found(NamedTuple):
    """An image as EC2 described it, and to whom."""

    image: DescribedImage
    place: Place


@dataclass(slots=True)
class Lookup:
    """What EC2 said. ``failures`` are the places that gave no answer, and whom that concerns."""

    instances: dict[str, DescribedInstance] = field(default_factory=dict)
    images: dict[str, Found] = field(default_factory=dict)
    failures: dict[Place, Exception] = field(default_factory=dict)
    concerned: dict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    runs: list[DescribeRun] = field(default_factory=list)

    def failure_for(self, admitted: Admitted) -> Exception | None:
        """Tell whether a file needs what could not be asked."""
        if not self.failures:
            return None
        for account, sighting in admitted.mentions:
            place = Place(account, sighting.region)
            if place in self.failures and sighting.instance_id in self.concerned[place]:
                return self.failures[place]
        for account, change in admitted.tag_changes:
            place = Place(account, change.region)
            if place in self.failures and change.image_id in self.concerned[place]:
                return self.failures[place]
        return None


def look_up(files: Sequence[Admitted]) -> Lookup:
    """Ask EC2 for the instances and images of which neither the logs nor we know enough.

    Never raises for what AWS answers. No database transaction may be open.
    """
    lookup = Lookup()
    mentions = [mention for one in files for mention in one.mentions]
    known = load_instances(sighting.instance_id for _, sighting in mentions)
    _ask_instances(lookup, missing_instances(mentions, known))
    used = used_images(mentions, known, lookup.instances)
    tagged = [
        (Place(account, change.region), change.image_id)
        for one in files
        for account, change in one.tag_changes
    ]
    images = load_images({*(ami_id for _, _, ami_id in used), *(ami_id for _, ami_id in tagged)})
    _ask_images(lookup, *missing_images(used, tagged, images))
    return lookup


def missing_instances(
    mentions: Iterable[tuple[Account, Sighting]], known: Mapping[str, KnownInstance]
) -> dict[Place, set[str]]:
    """Select the instances of which type or image can not be told. Pure."""
    complete, missing = set(), defaultdict(set)
    for account, sighting in mentions:
        stored = known.get(sighting.instance_id.lower())
        if stored and stored.stored.account_id != account.id:
            continue
        if _is_complete(sighting, stored):
            complete.add(sighting.instance_id)
        else:
            missing[Place(account, sighting.region)].add(sighting.instance_id)
    return {place: rest for place, ids in missing.items() if (rest := ids - complete)}


def _is_complete(sighting: Sighting, stored: KnownInstance | None) -> bool:
    if sighting.instance_type and sighting.image_id:
        return True
    return bool(stored and stored.stored.image_id and stored.typed_since)


def used_images(
    mentions: Iterable[tuple[Account, Sighting]],
    known: Mapping[str, KnownInstance],
    described: Mapping[str, DescribedInstance],
) -> set[tuple[Place, str, str]]:
    """Give the images that instances were launched from: where, by which instance, which. Pure."""
    used = set()
    for account, sighting in mentions:
        stored, told = known.get(sighting.instance_id.lower()), described.get(sighting.instance_id)
        ami_id = sighting.image_id or (told and told.image_id) or (stored and stored.ami_id) or None
        if ami_id:
            used.add((Place(account, sighting.region), sighting.instance_id, ami_id))
    return used


def missing_images(
    used: Iterable[tuple[Place, str, str]],
    tagged: Iterable[tuple[Place, str]],
    known: Mapping[str, KnownImage],
) -> tuple[dict[Place, set[str]], dict[Place, set[str]]]:
    """Select the images to ask for, and whom an answer concerns: instances and tagged images.

    Those that are known are not asked for again, unless AWS did not show them then and an instance
    uses them now (README decision 9). Pure.
    """
    missing: dict[Place, set[str]] = defaultdict(set)
    concerned: dict[Place, set[str]] = defaultdict(set)
    for place, instance_id, ami_id in used:
        image = known.get(ami_id)
        if image is None or image.status == MachineImage.Status.UNAVAILABLE:
            missing[place].add(ami_id)
            concerned[place].add(instance_id)
    for place, ami_id in tagged:
        if ami_id not in known:
            missing[place].add(ami_id)
            concerned[place].add(ami_id)
    return missing, concerned


def _ask_instances(lookup: Lookup, missing: Mapping[Place, set[str]]) -> None:
    def ask(place: Place) -> tuple[DescribeRun, list[DescribedInstance] | Exception]:
        run = DescribeRun(
            cloud_account_id=place.account.id,
            region=place.region,
            kind=DescribeRun.Kind.ON_DEMAND,
            started_at=clock.now(),
        )
        arn = parse_arn(place.account.arn)
        answer = _answer(lambda: list(describe_instances(arn, place.region, missing[place])))
        run.finished_at = clock.now()
        run.outcome, run.error_code = outcome_of(answer), error_code(answer)
        if not isinstance(answer, Exception):
            run.listed = len(answer)
            run.running = sum(one.state == RUNNING for one in answer)
        return run, answer

    for place, (run, answer) in _everywhere(ask, missing).items():
        lookup.runs.append(run)
        if isinstance(answer, Exception):
            _note_failure(lookup, place, answer, missing[place])
        else:
            lookup.instances |= {one.instance_id: one for one in answer}


def _ask_images(
    lookup: Lookup, missing: Mapping[Place, set[str]], concerned: Mapping[Place, set[str]]
) -> None:
    def ask(place: Place) -> list[DescribedImage] | Exception:
        arn = parse_arn(place.account.arn)
        return _answer(lambda: list(describe_images(arn, place.region, missing[place])))

    for place, answer in _everywhere(ask, missing).items():
        if isinstance(answer, Exception):
            _note_failure(lookup, place, answer, concerned[place])
        else:
            for image in answer:
                lookup.images.setdefault(image.image_id, Found(image, place))


def _everywhere(ask: Callable[[Place], Answer], places: Iterable[Place]) -> dict[Place, Answer]:
    wanted = list(places)
    if len(wanted) < 2:
        return {place: ask(place) for place in wanted}
    with ThreadPoolExecutor(min(PLACES_AT_ONCE, len(wanted)), "describe") as pool:
        return dict(zip(wanted, pool.map(ask, wanted), strict=True))


def _answer(ask: Callable[[], Answer]) -> Answer | Exception:
    try:
        return ask()
    except (ClientError, BotoCoreError) as error:
        return error


def _note_failure(lookup: Lookup, place: Place, error: Exception, concerned: set[str]) -> None:
    level = logging.WARNING if is_access_denied(error) else logging.ERROR
    logger.log(
        level,
        "AWS account %s can not be asked in %s: %s",
        place.account.aws_account_id,
        place.region,
        error,
    )
    lookup.failures[place] = error
    lookup.concerned[place] |= concerned


def outcome_of(answer: object) -> str:
    """Say how a question to AWS ended, as the record of it does (09 P4)."""
    if not isinstance(answer, Exception):
        return str(DescribeRun.Outcome.OK)
    if is_access_denied(answer):
        return str(DescribeRun.Outcome.DENIED)
    if is_throttling(answer):
        return str(DescribeRun.Outcome.THROTTLED)
    return str(DescribeRun.Outcome.FAILED)


def error_code(answer: object) -> str:
    """Give AWS's code of an error, or the name of any other; empty if there was none."""
    if not isinstance(answer, Exception):
        return ""
    return code_of(answer) or type(answer).__name__
