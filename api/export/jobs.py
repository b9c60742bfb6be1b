"""Exports that are too large for a request: a worker writes them to a bucket (spec 11 §4, §5)."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from tempfile import TemporaryFile
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from api import outbox
from api.clouds.aws.provisioning import export_bucket
from api.clouds.aws.session import s3
from api.export.copying import copy_to
from api.export.tables import CSV, NDJSON, PARQUET, ExportTable, file_headers
from api.models import ExportJob, User
from util import clock

logger = logging.getLogger(__name__)

RUN: Final = "api.tasks.run_export_job"

FORMATS: Final = (CSV, NDJSON, PARQUET)
SECONDS_OF_URL: Final = 3600
"""How long a signed URL is good for."""

Status = ExportJob.Status


def create_job(*, user: User, kind: str, filters: Mapping[str, str], form: str) -> ExportJob:
    """Store a job and have it done. Raises ValidationError for filters that make no sense."""
    table_of(kind, user, filters)
    with transaction.atomic():
        job = ExportJob.objects.create(user=user, kind=kind, filters=dict(filters), format=form)
        outbox.send(_key(job.id), RUN, job.id)
    return job


def run_job(job_id: int) -> None:
    """Write the file of a job; one that is done, or gone with its customer, is left alone.

    The rows are first written to a file of this process, so that no statement waits for S3. Raises
    what goes wrong; the job is failed then, until the task is repeated.
    """
    job = ExportJob.objects.select_related("user").filter(id=job_id).first()
    if job is None or job.status == Status.DONE:
        logger.info("Export job %s is done or gone", job_id)
        return
    _set(job, status=Status.RUNNING)
    try:
        rows = _write(job)
    except Exception as error:
        _set(job, status=Status.FAILED, detail=type(error).__name__)
        raise
    expires_at = clock.now() + timedelta(days=export_bucket.KEPT_DAYS)
    _set(job, status=Status.DONE, detail="", rows=rows, expires_at=expires_at)
    logger.info("Export job %s of user %s wrote %s rows", job.id, job.user_id, rows)


def table_of(kind: str, user: User, filters: Mapping[str, str]) -> ExportTable:
    """Return the table to export.

    It is described by the public API, which workers load only if they have to export something.
    """
    return import_module("api.export.kinds").table_of(kind, user, filters)


def _write(job: ExportJob) -> int:
    table = table_of(job.kind, job.user, job.filters)
    content_type, disposition = file_headers(job.kind, job.format)
    export_bucket.ensure()
    with TemporaryFile() as file:
        rows = copy_to(table, job.format, file)
        file.seek(0)
        s3().upload_fileobj(
            file,
            settings.AWS_EXPORT_BUCKET_NAME,
            object_key(job),
            ExtraArgs={"ContentType": content_type, "ContentDisposition": disposition},
            Config=_one_part_at_once(),
        )
    return rows


def _one_part_at_once() -> Any:
    """Return how files are sent to S3: by default ten parts of 8 MiB would be in memory at once.

    Loaded here: no other process has to hold what sends files (decision record 160).
    """
    return import_module("boto3.s3.transfer").TransferConfig(use_threads=False)


def signed_url(job: ExportJob) -> str | None:
    """Return where the file of a job may be fetched for an hour, None if there is none."""
    if job.status != Status.DONE or not job.expires_at or job.expires_at <= clock.now():
        return None
    return s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings.AWS_EXPORT_BUCKET_NAME, "Key": object_key(job)},
        ExpiresIn=SECONDS_OF_URL,
    )


def object_key(job: ExportJob) -> str:
    """Return the key of the object that holds the file."""
    return f"exports/{job.user_id}/{job.id}/{job.kind}.{job.format}"


def _key(job_id: int) -> str:
    return f"export:{job_id}"


def _set(job: ExportJob, **columns: object) -> None:
    ExportJob.objects.filter(id=job.id).update(updated_at=clock.now(), **columns)
    for name, value in columns.items():
        setattr(job, name, value)
