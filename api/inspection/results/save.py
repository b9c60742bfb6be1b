"""Store what the inspector found, with history, attempts and stale usage (spec 05 §6, 09 P6, P7).

A handful of statements, however many images a batch tells of.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F
from django.db.models.functions import MD5

from api.images.changes import change_images
from api.inspection import attempts
from api.inspection.results.parse import ImageResult, ParsedResult
from api.inspection.states import InspectionEvent, after
from api.models import CloudType, ImageFact, InspectionAttempt, MachineImage
from util import postgres
from util.batches import batched_by_size
from util.metrics import counter

logger = logging.getLogger(__name__)


BYTES_AT_ONCE = 4 * 1024 * 1024
IMAGES_AT_ONCE = 500
"""How much is written in one statement."""

ERRORS_LOGGED = 20
"""Errors of one image, and of one file, that are logged."""

SAVED = "saved"
REPEATED = "repeated"
UNKNOWN = "unknown"
UNSOLICITED = "unsolicited"
OUTCOMES = counter(
    "cloudigrade_inspection_results_total",
    "What inspectors said of images, by what became of it",
    ("outcome",),
)


class _Recorded(NamedTuple):
    """What a file says of a stored image, and the attempt whose result it is."""

    image_id: int
    finding: ImageResult
    attempt: InspectionAttempt


@transaction.atomic
def save_results(results: Sequence[ParsedResult]) -> None:
    """Store all that result files say, in one transaction; later ones replace earlier ones.

    Images that are not known (any more), and those that nobody ever began to inspect (README
    decision 38), are left out, with a warning. An image's status before does not matter, nor do the
    errors that the inspector met. What was stored before changes nothing.
    """
    for result in results:
        _log_errors(result)
    findings = [finding for result in results for finding in result.findings]
    recorded = _assign(_known_images({finding.ami_id for finding in findings}), findings)
    for some in _batches(recorded):
        new = [one.attempt for one in some if one.attempt.pk is None]
        known = [one.attempt for one in some if one.attempt.pk is not None]
        InspectionAttempt.objects.bulk_update(known, _RESULT_COLUMNS)
        InspectionAttempt.objects.bulk_create(new)
    for some in _batches({one.image_id: one for one in recorded}.values()):
        _change_images({one.image_id: one for one in some})


def _batches(recorded: Iterable[_Recorded]) -> Iterator[list[_Recorded]]:
    return batched_by_size(
        recorded,
        size_of=lambda one: len(one.finding.document),
        limit=BYTES_AT_ONCE,
        most=IMAGES_AT_ONCE,
    )


def _change_images(latest: Mapping[int, _Recorded]) -> None:
    def change(image: MachineImage) -> dict[str, Any]:
        finding = latest[image.id].finding
        image.status = after(image.status, InspectionEvent.RESULT) or image.status
        image.inspection_json = finding.entry
        return finding.evidence

    change_images(
        image_ids=latest,
        change=change,
        reason=ImageFact.Reason.INSPECTION,
        ref={image_id: attempts.name_of(one.attempt) for image_id, one in latest.items()},
    )
    for image_id, one in latest.items():
        logger.info("Image %s (%s) is inspected", one.finding.ami_id, image_id)


def _known_images(ami_ids: Iterable[str]) -> dict[str, int]:
    wanted = {ami_id for ami_id in ami_ids if "\0" not in ami_id}
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=wanted)
    # Images are locked before their attempts by everybody.
    locked = found.select_for_update(no_key=True).order_by("id")
    images = dict(locked.values_list("cloud_image_id", "id"))
    for ami_id in sorted(wanted - images.keys()):
        OUTCOMES.labels(UNKNOWN).inc()
        logger.warning("There is a result for image %.40r, which is not known", ami_id)
    return images


def _log_errors(result: ParsedResult) -> None:
    for finding in result.findings:
        for error in finding.errors[:ERRORS_LOGGED]:
            logger.info("Inspector's error in image %.40r: %.200r", finding.ami_id, error)
        if finding.omitted:
            logger.warning("Not stored of image %.40r: %s", finding.ami_id, finding.omitted)
    for error in result.errors[:ERRORS_LOGGED]:
        logger.info("Inspector's error: %.200r", error)


def _assign(images: Mapping[str, int], findings: Sequence[ImageResult]) -> list[_Recorded]:
    """Return each result to the attempt that waits for it; keep those that none waits for too.

    Leaves out those that were recorded before, and are delivered again.
    """
    made, now = _Attempts(images.values()), postgres.now()
    recorded = []
    for finding in findings:
        image_id = images.get(finding.ami_id)
        if image_id is None:
            continue
        if not made.were_begun(image_id):
            OUTCOMES.labels(UNSOLICITED).inc()
            logger.warning("There is a result for image %s, which nobody inspects", finding.ami_id)
            continue
        attempt = made.awaiting(image_id, finding.document)
        if attempt is None:
            OUTCOMES.labels(REPEATED).inc()
            logger.info("The result for image %s is stored already", finding.ami_id)
            continue
        OUTCOMES.labels(SAVED).inc()
        _finish(attempt, finding, is_asked=attempt.pk is not None, now=now)
        recorded.append(_Recorded(image_id, finding, attempt))
    return recorded


_RESULT_COLUMNS = (
    "result",
    "outcome",
    "error",
    "producer_name",
    "producer_version",
    "finished_at",
    "updated_at",
)


def _finish(
    attempt: InspectionAttempt, finding: ImageResult, *, is_asked: bool, now: datetime
) -> None:
    outcome = attempts.INSPECTED if finding.is_conclusive else attempts.INCONCLUSIVE
    attempt.result = finding.document
    attempt.outcome = outcome if is_asked else attempts.UNASKED
    attempt.error = _error_of(finding)
    if finding.producer_name:
        attempt.producer_name = finding.producer_name
        attempt.producer_version = finding.producer_version
    attempt.finished_at = attempt.updated_at = now


def _error_of(finding: ImageResult) -> str:
    """Say what operators should see: what is not stored, or why nothing could be looked at."""
    if finding.omitted:
        return f"not stored: {finding.omitted}"
    if finding.is_conclusive:
        return ""
    return "; ".join(str(error) for error in finding.errors)[: attempts.MAX_ERROR]


class _Attempts:
    """The attempts at some images, without the results, which are large."""

    def __init__(self, image_ids: Iterable[int]) -> None:
        self._begun: set[int] = set()
        self._waiting: dict[int, InspectionAttempt] = {}
        self._results: dict[tuple[int, str], InspectionAttempt] = {}
        rows = (
            InspectionAttempt.objects.filter(machine_image_id__in=list(image_ids))
            .annotate(digest=MD5("result"))
            .defer("result")
            .order_by(F("finished_at").asc(nulls_last=True), "id")
        )
        for attempt in rows:
            if attempt.outcome != attempts.UNASKED:
                self._begun.add(attempt.machine_image_id)
            if attempt.digest:
                self._results[attempt.machine_image_id, attempt.digest] = attempt
            else:
                self._waiting[attempt.machine_image_id] = attempt

    def were_begun(self, image_id: int) -> bool:
        """Return whether an inspection of the image was ever started."""
        return image_id in self._begun

    def awaiting(self, image_id: int, document: str) -> InspectionAttempt | None:
        """Return the attempt that a result is of, once; None if it was stored before.

        It is the attempt in progress, or the last that ended without a result, or a new one.
        """
        key = image_id, hashlib.md5(document.encode(), usedforsecurity=False).hexdigest()
        waiting, known = self._waiting.get(image_id), self._results.get(key)
        if known and not (waiting and known.pk and waiting.pk > known.pk):
            return None
        attempt = self._waiting.pop(image_id, None)
        if attempt is None:
            attempt = InspectionAttempt(machine_image_id=image_id, counts=False)
        self._results[key] = attempt
        return attempt
