"""Store what the inspector found, with history, attempts and stale usage (spec 05 §6, 09 P6, P7).

A handful of statements, however many images a batch tells of.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import MD5

from api.images.changes import change_images
from api.inspection import attempts
from api.inspection.results import Finding, Result
from api.inspection.states import Event, after
from api.models import CloudType, ImageFact, InspectionAttempt, MachineImage
from util import clock

logger = logging.getLogger(__name__)


@transaction.atomic
def save_results(results: Sequence[Result]) -> None:
    """Store all that result files say, in one transaction; later ones replace earlier ones.

    Images that are not known (any more) are left out, with a warning. An image's status before does
    not matter, nor do the errors that the inspector met.
    """
    findings = [finding for result in results for finding in result.findings]
    for result in results:
        _log_errors(result)
    images = _known_images({finding.ami_id for finding in findings})
    known = [finding for finding in findings if finding.ami_id in images]
    latest = {images[finding.ami_id]: finding for finding in known}

    def change(image: MachineImage) -> dict[str, Any]:
        finding = latest[image.id]
        image.status = after(image.status, Event.RESULT) or image.status
        image.inspection_json = finding.entry
        return finding.evidence

    change_images(image_ids=latest, change=change, reason=ImageFact.Reason.INSPECTION)
    _record(images, known)
    for image_id, finding in latest.items():
        logger.info("Image %s (%s) is inspected", finding.ami_id, image_id)


def _known_images(ami_ids: Iterable[str]) -> dict[str, int]:
    wanted = {ami_id for ami_id in ami_ids if "\0" not in ami_id}
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=wanted)
    images = dict(found.values_list("cloud_image_id", "id"))
    for ami_id in sorted(wanted - images.keys()):
        logger.warning("There is a result for image %.40r, which is not known", ami_id)
    return images


def _log_errors(result: Result) -> None:
    for finding in result.findings:
        for error in finding.errors:
            logger.info("Inspector's error in image %s: %.200r", finding.ami_id, error)
        if finding.omitted:
            logger.warning("Not stored of %s: %s", finding.ami_id, finding.omitted)
    for error in result.errors:
        logger.info("Inspector's error: %.200r", error)


def _record(images: dict[str, int], findings: Sequence[Finding]) -> None:
    """Give each result to the attempt that waits for it; keep those that none waits for too.

    A result that was recorded before is delivered again, and recorded no more.
    """
    made = _Attempts(images.values())
    changed, new = [], []
    for finding in findings:
        image_id = images[finding.ami_id]
        if made.has_result(image_id, finding.document):
            continue
        attempt = made.waiting(image_id)
        if attempt is None:
            attempt = InspectionAttempt(machine_image_id=image_id, counts=False)
            new.append(attempt)
        else:
            changed.append(attempt)
        made.remember(image_id, finding.document)
        _finish(attempt, finding, is_asked=attempt.pk is not None)
    InspectionAttempt.objects.bulk_update(changed, _RESULT_COLUMNS, batch_size=500)
    InspectionAttempt.objects.bulk_create(new, batch_size=500)


_RESULT_COLUMNS = (
    "result",
    "outcome",
    "error",
    "producer_name",
    "producer_version",
    "finished_at",
    "updated_at",
)


def _finish(attempt: InspectionAttempt, finding: Finding, *, is_asked: bool) -> None:
    now = clock.now()
    outcome = attempts.INSPECTED if finding.is_conclusive else attempts.INCONCLUSIVE
    attempt.result = finding.document
    attempt.outcome = outcome if is_asked else attempts.UNASKED
    attempt.error = f"not stored: {finding.omitted}" if finding.omitted else ""
    if finding.producer_name:
        attempt.producer_name = finding.producer_name
        attempt.producer_version = finding.producer_version
    attempt.finished_at = attempt.updated_at = now


class _Attempts:
    """The attempts at some images, without the results, which are large."""

    def __init__(self, image_ids: Iterable[int]) -> None:
        self._waiting: dict[int, InspectionAttempt] = {}
        self._results: set[tuple[int, str]] = set()
        rows = (
            InspectionAttempt.objects.filter(machine_image_id__in=list(image_ids))
            .annotate(digest=MD5("result"))
            .defer("result")
            .order_by(F("finished_at").asc(nulls_last=True), "id")
        )
        for attempt in rows:
            if attempt.digest:
                self._results.add((attempt.machine_image_id, attempt.digest))
            else:
                self._waiting[attempt.machine_image_id] = attempt

    def has_result(self, image_id: int, document: str) -> bool:
        return (image_id, _digest(document)) in self._results

    def remember(self, image_id: int, document: str) -> None:
        self._results.add((image_id, _digest(document)))

    def waiting(self, image_id: int) -> InspectionAttempt | None:
        """Give the attempt in progress, or the last that ended without a result, once."""
        return self._waiting.pop(image_id, None)


def _digest(document: str) -> str:
    return hashlib.md5(document.encode(), usedforsecurity=False).hexdigest()
