"""One record of a stored log file, as CloudTrail wrote it (spec 10 §1)."""

import json

import msgspec
from botocore.exceptions import ClientError

from api.clouds.aws.cloudtrail.parse import DAMAGED_GZIP, TextTooLongError, gunzip
from api.clouds.aws.errors import code_of
from api.clouds.aws.session import s3


class RecordArchivedError(Exception):
    """The file is in an archive from which it has to be restored first."""


class RecordMissingError(Exception):
    """There is no such file, or no such record in it."""


class _KeptFile(msgspec.Struct):
    records: list[msgspec.Raw] = msgspec.field(name="Records")


def read_record(*, bucket: str, key: str, index: int) -> bytes:
    """Return the very bytes of the record at a place, from 0, in a log file.

    Of a file that is not strictly JSON, which CloudTrail does not write, the record is encoded
    anew. Raises RecordArchivedError, RecordMissingError, and what S3 answers else.
    """
    try:
        answer = s3().get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code_of(error) == "InvalidObjectState":
            raise RecordArchivedError from error
        if code_of(error) in ("NoSuchKey", "NoSuchBucket"):
            raise RecordMissingError from error
        raise
    data: bytes = answer["Body"].read()
    try:
        text = bytes(gunzip(data)) if key.endswith(".gz") else data
        return _record(text, index)
    except DAMAGED_GZIP as error:  # type: ignore[misc]
        raise RecordMissingError from error
    except (TextTooLongError, ValueError, LookupError, TypeError) as error:
        raise RecordMissingError from error


def _record(text: bytes, index: int) -> bytes:
    try:
        return bytes(msgspec.json.decode(text, type=_KeptFile).records[index])
    except msgspec.MsgspecError:
        return json.dumps(json.loads(text)["Records"][index]).encode()
