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

    refs = _record(images, known)
    change_images(image_ids=latest, change=change, reason=ImageFact.Reason.INSPECTION, ref=refs)
    for image_id, finding in latest.items():
        logger.info("Image %s (%s) is inspected", finding.ami_id, image_id)


def _known_images(ami_ids: Iterable[str]) -> dict[str, int]:
    wanted = {ami_id for ami_id in ami_ids if "\0" not in ami_id}
    found = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=wanted)
    # Images are locked before their attempts by everybody.
    locked = found.select_for_update(no_key=True).order_by("id")
    images = dict(locked.values_list("cloud_image_id", "id"))
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


def _record(images: dict[str, int], findings: Sequence[Finding]) -> dict[int, str]:
    """Give each result to the attempt that waits for it; keep those that none waits for too.

    A result that was recorded before is delivered again, and recorded no more. Gives the attempt
    that the latest result of each image belongs to, as its history names it.
    """
    made = _Attempts(images.values())
    changed, new = [], []
    latest: dict[int, InspectionAttempt] = {}
    for finding in findings:
        image_id = images[finding.ami_id]
        known = made.with_result(image_id, finding.document)
        if known:
            latest[image_id] = known
            continue
        attempt = made.waiting(image_id)
        if attempt is None:
            attempt = InspectionAttempt(machine_image_id=image_id, counts=False)
            new.append(attempt)
        else:
            changed.append(attempt)
        made.remember(attempt, finding.document)
        latest[image_id] = attempt
        _finish(attempt, finding, is_asked=attempt.pk is not None)
    InspectionAttempt.objects.bulk_update(changed, _RESULT_COLUMNS, batch_size=500)
    InspectionAttempt.objects.bulk_create(new, batch_size=500)
    return {image_id: attempts.name_of(attempt) for image_id, attempt in latest.items()}


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
    attempt.error = _error_of(finding)
    if finding.producer_name:
        attempt.producer_name = finding.producer_name
        attempt.producer_version = finding.producer_version
    attempt.finished_at = attempt.updated_at = now


def _error_of(finding: Finding) -> str:
    """Say what operators should see: what is not stored, or why nothing could be looked at."""
    if finding.omitted:
        return f"not stored: {finding.omitted}"
    if finding.is_conclusive:
        return ""
    return "; ".join(str(error) for error in finding.errors)[: attempts.MAX_ERROR]


class _Attempts:
    """The attempts at some images, without the results, which are large."""

    def __init__(self, image_ids: Iterable[int]) -> None:
        self._waiting: dict[int, InspectionAttempt] = {}
        self._results: dict[tuple[int, str], InspectionAttempt] = {}
        rows = (
            InspectionAttempt.objects.filter(machine_image_id__in=list(image_ids))
            .annotate(digest=MD5("result"))
            .defer("result")
            .order_by(F("finished_at").asc(nulls_last=True), "id")
        )
        for attempt in rows:
            if attempt.digest:
                self._results[attempt.machine_image_id, attempt.digest] = attempt
            else:
                self._waiting[attempt.machine_image_id] = attempt

    def with_result(self, image_id: int, document: str) -> InspectionAttempt | None:
        return self._results.get((image_id, _digest(document)))

    def remember(self, attempt: InspectionAttempt, document: str) -> None:
        self._results[attempt.machine_image_id, _digest(document)] = attempt

    def waiting(self, image_id: int) -> InspectionAttempt | None:
        """Give the attempt in progress, or the last that ended without a result, once."""
        return self._waiting.pop(image_id, None)


def _digest(document: str) -> str:
    return hashlib.md5(document.encode(), usedforsecurity=False).hexdigest()
