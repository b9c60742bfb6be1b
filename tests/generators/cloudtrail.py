"""CloudTrail records as AWS writes them, and log files and messages made of them.

The shapes are those of real logs; ``tests.generators.fleet`` makes whole histories of them.
"""

import base64
import gzip
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

Record = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "us-east-1"
NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)
RHEL_TAG = "cloudigrade-rhel-present"
OPENSHIFT_TAG = "cloudigrade-ocp-present"
OMITTED = {"reason": "responseElements too large", "omitted": True, "originalSize": 150_000}
"""Stands in the place of parameters, or of a list in them, that CloudTrail leaves out."""


def stamp(moment: datetime) -> str:
    """Write a moment as CloudTrail does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_id(*parts: object) -> str:
    """Return the same UUID for the same parts, so that generated logs can be generated again."""
    digest = hashlib.md5(repr(parts).encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest))


def user_identity(account: str = ACCOUNT) -> dict[str, Any]:
    """Somebody at a keyboard."""
    return {
        "type": "IAMUser",
        "principalId": "AIDACKCEVSQ6C2EXAMPLE",
        "arn": f"arn:aws:iam::{account}:user/alice",
        "accountId": account,
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "userName": "alice",
    }


def service_identity(service: str, role: str, account: str = ACCOUNT) -> dict[str, Any]:
    """A service of AWS that acts with its service-linked role, as Auto Scaling and fleets do."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROACKCEVSQ6C2EXAMPLE:{role}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{role}",
        "accountId": account,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "arn": f"arn:aws:iam::{account}:role/aws-service-role/{service}/{role}",
                "accountId": account,
                "userName": role,
            },
            "webIdFederationData": {},
            "attributes": {"creationDate": "2020-01-01T00:00:00Z", "mfaAuthenticated": "false"},
        },
        "invokedBy": service,
    }


def autoscaling(account: str = ACCOUNT) -> dict[str, Any]:
    """Auto Scaling."""
    return service_identity("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", account)


def fleet(account: str = ACCOUNT) -> dict[str, Any]:
    """EC2 Fleet."""
    return service_identity("ec2fleet.amazonaws.com", "AWSServiceRoleForEC2Fleet", account)


def spot(account: str = ACCOUNT) -> dict[str, Any]:
    """The fulfilment of spot requests."""
    return service_identity("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", account)


def record(
    name: str,
    *,
    at: datetime = NOON,
    account: str = ACCOUNT,
    region: str = REGION,
    parameters: Any = None,
    response: Any = None,
    identity: Any = None,
    **others: Any,
) -> Record:
    """Make any record; ``others`` are further members, or replace those made here."""
    made = {
        "eventVersion": "1.08",
        "userIdentity": user_identity(account) if identity is None else identity,
        "eventTime": stamp(at),
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": "192.0.2.10",
        "userAgent": 'aws-cli/2.15 Python/3.11 "quoted" \\o/',
        "requestParameters": parameters,
        "responseElements": response,
        "requestID": event_id("request", name, stamp(at), parameters),
        "eventID": event_id(name, stamp(at), account, parameters, response),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }
    return made | others


def launched(
    instance_id: str,
    *,
    image: str = "ami-1",
    type: str = "m5.large",
    subnet: str | None = "subnet-1",
    at: datetime = NOON,
    **others: Any,
) -> dict[str, Any]:
    """One item of the response of RunInstances."""
    item = {
        "instanceId": instance_id,
        "imageId": image,
        "instanceState": {"code": 0, "name": "pending"},
        "privateDnsName": "ip-10-0-1-10.ec2.internal",
        "amiLaunchIndex": 0,
        "productCodes": {},
        "instanceType": type,
        "launchTime": int(at.timestamp() * 1000),
        "placement": {"availabilityZone": "us-east-1a", "tenancy": "default"},
        "monitoring": {"state": "disabled"},
        "subnetId": subnet,
        "vpcId": "vpc-1",
        "stateReason": {"code": "pending", "message": "pending"},
        "architecture": "x86_64",
        "rootDeviceType": "ebs",
        "rootDeviceName": "/dev/xvda",
        "blockDeviceMapping": {},
        "virtualizationType": "hvm",
        "hypervisor": "xen",
        "tagSet": {"items": [{"key": "Name", "value": "web {1}"}]},
        "groupSet": {"items": [{"groupId": "sg-1"}]},
        "networkInterfaceSet": {"items": [{"networkInterfaceId": "eni-1", "subnetId": subnet}]},
        "cpuOptions": {"coreCount": 1, "threadsPerCore": 2},
    }
    if subnet is None:
        del item["subnetId"]
    return item | others


def run_instances(
    *items: dict[str, Any],
    type: str | None = "m5.large",
    template: str | None = None,
    **others: Any,
) -> Record:
    """A launch; with a launch template the request names no type."""
    parameters: dict[str, Any] = {
        "instancesSet": {"items": [{"minCount": len(items), "maxCount": len(items)}]},
        "blockDeviceMapping": {},
        "monitoring": {"enabled": False},
    }
    if items:
        parameters["instancesSet"]["items"][0]["imageId"] = items[0].get("imageId")
    if template:
        parameters["launchTemplate"] = {"launchTemplateId": template, "version": "$Latest"}
        del parameters["instancesSet"]["items"][0]["imageId"]
    elif type is not None:
        parameters["instanceType"] = type
    response = {
        "requestId": event_id("request", *(item.get("instanceId") for item in items)),
        "reservationId": "r-1",
        "ownerId": others.get("account", ACCOUNT),
        "groupSet": {},
        "instancesSet": {"items": list(items)},
    }
    return record("RunInstances", parameters=parameters, response=response, **others)


def _power(
    name: str, before: str, after: str, ids: Sequence[str], others: dict[str, Any]
) -> Record:
    return record(
        name,
        parameters={"instancesSet": {"items": [{"instanceId": one} for one in ids]}},
        response={
            "requestId": event_id(name, *ids),
            "instancesSet": {
                "items": [
                    {
                        "instanceId": one,
                        "currentState": {"code": 0, "name": after},
                        "previousState": {"code": 16, "name": before},
                    }
                    for one in ids
                ]
            },
        },
        **others,
    )


def start_instances(*ids: str, **others: Any) -> Record:
    """Somebody starts instances."""
    return _power("StartInstances", "stopped", "pending", ids, others)


def stop_instances(*ids: str, **others: Any) -> Record:
    """Somebody stops instances."""
    return _power("StopInstances", "running", "stopping", ids, others)


def terminate_instances(*ids: str, **others: Any) -> Record:
    """Somebody terminates instances."""
    return _power("TerminateInstances", "running", "shutting-down", ids, others)


def reboot_instances(*ids: str, **others: Any) -> Record:
    """Somebody reboots instances, which is no event."""
    parameters = {"instancesSet": {"items": [{"instanceId": one} for one in ids]}}
    response = {"requestId": event_id("reboot", *ids), "_return": True}
    return record("RebootInstances", parameters=parameters, response=response, **others)


def modify_instance(instance_id: str, type: str | None = None, **others: Any) -> Record:
    """Somebody changes an instance's type or, without one, its protection against termination."""
    change = (
        {"instanceType": {"value": type}} if type else {"disableApiTermination": {"value": True}}
    )
    return record(
        "ModifyInstanceAttribute",
        parameters={"instanceId": instance_id, **change},
        response={"requestId": event_id("modify", instance_id), "_return": True},
        **others,
    )


def spot_interruption(*ids: str, account: str = ACCOUNT, **others: Any) -> Record:
    """AWS takes spot instances back."""
    return record(
        "BidEvictedEvent",
        account=account,
        identity={"accountId": account, "invokedBy": "ec2.amazonaws.com"},
        sourceIPAddress="ec2.amazonaws.com",
        userAgent="ec2.amazonaws.com",
        eventType="AwsServiceEvent",
        serviceEventDetails={"instanceIdSet": list(ids)},
        **others,
    )


def _tags(name: str, ids: Sequence[str], tags: Sequence[str], others: dict[str, Any]) -> Record:
    return record(
        name,
        parameters={
            "resourcesSet": {"items": [{"resourceId": one} for one in ids]},
            "tagSet": {"items": [{"key": tag, "value": "false"} for tag in tags]},
        },
        response={"requestId": event_id(name, *ids, *tags), "_return": True},
        **others,
    )


def create_tags(*ids: str, tags: Sequence[str] = (RHEL_TAG,), **others: Any) -> Record:
    """Somebody tags resources."""
    return _tags("CreateTags", ids, tags, others)


def delete_tags(*ids: str, tags: Sequence[str] = (RHEL_TAG,), **others: Any) -> Record:
    """Somebody takes tags off resources."""
    return _tags("DeleteTags", ids, tags, others)


_NOISE = (
    ("ec2.amazonaws.com", "CreateSecurityGroup"),
    ("ec2.amazonaws.com", "AuthorizeSecurityGroupIngress"),
    ("ec2.amazonaws.com", "CreateNetworkInterface"),
    ("iam.amazonaws.com", "CreateAccessKey"),
    ("s3.amazonaws.com", "PutBucketPolicy"),
    ("kms.amazonaws.com", "GenerateDataKey"),
    ("rds.amazonaws.com", "ModifyDBInstance"),
    ("sts.amazonaws.com", "AssumeRole"),
    ("ssm.amazonaws.com", "UpdateInstanceInformation"),
    ("secretsmanager.amazonaws.com", "RotateSecret"),
)


def noise(number: int, **others: Any) -> Record:
    """A record that does not concern us.

    On average they are about as long as real ones, and have several times the escapes: one in ten
    holds JSON within JSON, and quotes.
    """
    source, name = _NOISE[number % len(_NOISE)]
    statements = [{"Effect": "Allow", "Action": "s3:*"}] * 5
    if number % 10:
        others = {"userAgent": "aws-cli/2.15 Python/3.11 Linux/5.10 botocore/2.4.5"} | others
    parameters = {
        "number": number,
        "policy": "" if number % 10 else json.dumps({"Statement": statements}),
        "filterSet": {"items": [{"name": "tag:a", "valueSet": {"items": [{"value": "b"}]}}]},
        "instanceId": f"i-{number:017x}",
    }
    response = {"requestId": event_id("noise", number), "_return": True}
    return record(
        name,
        parameters=parameters,
        response=response,
        eventSource=source,
        tlsDetails={
            "tlsVersion": "TLSv1.2",
            "cipherSuite": "ECDHE-RSA-AES128-GCM-SHA256",
            "clientProvidedHostHeader": source,
        },
        **others,
    )


def log_text(records: Iterable[Any]) -> bytes:
    """Write records as CloudTrail does."""
    return json.dumps({"Records": list(records)}, separators=(",", ":")).encode()


def log_file(records: Iterable[Any]) -> bytes:
    """Write records as the file that CloudTrail delivers."""
    return gzip.compress(log_text(records), compresslevel=6, mtime=0)


def log_key(
    *, account: str = ACCOUNT, region: str = REGION, at: datetime = NOON, name: str = "Random"
) -> str:
    """Name a log file as CloudTrail does."""
    at = at.astimezone(UTC)
    folder = f"AWSLogs/{account}/CloudTrail/{region}/{at:%Y/%m/%d}"
    return f"{folder}/{account}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{name}.json.gz"


def digest_key(
    *, account: str = ACCOUNT, region: str = REGION, at: datetime = NOON, trail: str = "t"
) -> str:
    """Name a digest file as CloudTrail does."""
    at = at.astimezone(UTC)
    folder = f"AWSLogs/{account}/CloudTrail-Digest/{region}/{at:%Y/%m/%d}"
    name = f"{account}_CloudTrail-Digest_{region}_{trail}_{region}_{at:%Y%m%dT%H%M%SZ}"
    return f"{folder}/{name}.json.gz"


def digest_file(
    *,
    bucket: str,
    log_keys: Sequence[str],
    account: str = ACCOUNT,
    end: datetime = NOON,
    previous: str | None = None,
) -> bytes:
    """Write the digest of an hour's log files as CloudTrail does."""
    document = {
        "awsAccountId": account,
        "digestStartTime": stamp(end - timedelta(hours=1)),
        "digestEndTime": stamp(end),
        "digestS3Bucket": bucket,
        "digestS3Object": digest_key(account=account, at=end),
        "digestSignatureAlgorithm": "SHA256withRSA",
        "previousDigestS3Bucket": bucket if previous else None,
        "previousDigestS3Object": previous,
        "logFiles": [
            {
                "s3Bucket": bucket,
                "s3Object": key,
                "hashValue": hashlib.sha256(key.encode()).hexdigest(),
                "hashAlgorithm": "SHA-256",
            }
            for key in log_keys
        ],
    }
    return gzip.compress(json.dumps(document).encode(), mtime=0)


def notification(bucket: str, *keys: str, at: datetime = NOON, size: int = 1000) -> str:
    """Write what S3 tells a queue about new objects."""
    return json.dumps(
        {
            "Records": [
                {
                    "eventVersion": "2.1",
                    "eventSource": "aws:s3",
                    "awsRegion": REGION,
                    "eventTime": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                    "eventName": "ObjectCreated:Put",
                    "s3": {
                        "s3SchemaVersion": "1.0",
                        "configurationId": "Notifications",
                        "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                        "object": {
                            "key": quote_plus(key, safe="/"),
                            "size": size,
                            "eTag": "0" * 32,
                        },
                    },
                }
                for key in keys
            ]
        }
    )


def eventbridge_event(
    bucket: str, key: str, kind: str = "Object Created", *, at: datetime = NOON, size: int = 1000
) -> str:
    """Write what S3 tells a queue about an object by way of EventBridge; keys are not encoded."""
    return json.dumps(
        {
            "version": "0",
            "id": event_id("eventbridge", bucket, key),
            "detail-type": kind,
            "source": "aws.s3",
            "account": "111122223333",
            "time": stamp(at),
            "region": REGION,
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": {
                    "key": key,
                    "size": size,
                    "etag": "0" * 32,
                    "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                    "sequencer": "617f08299329d189",
                },
                "request-id": "N4N7GDK58NMKJ12R",
                "requester": "cloudtrail.amazonaws.com",
                "source-ip-address": "192.0.2.10",
                "reason": "PutObject",
            },
        }
    )


def cloudtrail_notice(bucket: str, *keys: str) -> str:
    """Write what CloudTrail itself tells a topic of SNS; keys are not encoded."""
    return json.dumps({"s3Bucket": bucket, "s3ObjectKey": list(keys)})


def sns_envelope(message: str) -> str:
    """Wrap a message as SNS does without raw delivery."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": event_id("sns", message),
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:trails",
            "Message": message,
            "Timestamp": "2020-01-02T12:00:00.000Z",
            "Signature": base64.b64encode(b"signature").decode(),
        }
    )


def s3_test_event(bucket: str) -> str:
    """Write what S3 sends when notifications are switched on."""
    return json.dumps(
        {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": "2020-01-02T12:00:00.000Z",
            "Bucket": bucket,
            "RequestId": "5582815E1AEA5ADF",
            "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
        }
    )
