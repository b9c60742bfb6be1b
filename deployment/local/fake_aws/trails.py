"""CloudTrail may write to a bucket of another account, if that bucket exists at all."""

from typing import Any

from moto.cloudtrail.exceptions import S3BucketDoesNotExistException
from moto.cloudtrail.models import Trail
from moto.s3.models import s3_backends

from deployment.local.fake_aws.extend import replaces


@replaces(Trail, "check_bucket_exists")
def check_bucket_exists(_original: Any, self: Any) -> None:
    """Look for the bucket in all accounts."""
    for partitions in list(s3_backends.values()):
        if self.bucket_name in partitions[self.partition].buckets:
            return
    raise S3BucketDoesNotExistException(f"S3 bucket {self.bucket_name} does not exist!")
