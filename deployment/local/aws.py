"""The fake AWS service, its remote control, and what the product needs in its own account."""

import functools
import json
import sys
from typing import Any

import boto3
import botocore.session
import requests
from botocore.loaders import Loader

from deployment.local.http import RemoteControl, local_session
from deployment.local.ports import LOOPBACK
from deployment.local.service import Service

#: The account whose credentials the product itself has.
PRIMARY_ACCOUNT_ID = "123456789012"
REGION = "us-east-1"

_ANY_KEY = "local"
_SECONDS_TO_START = 90.0


class Aws(Service):
    """moto's server, extended by deployment.local.fake_aws."""

    name = "aws"
    title = "AWS"
    configured_by = ("AWS_ENDPOINT_URL",)

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this service."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": _ANY_KEY,
            "AWS_SECRET_ACCESS_KEY": _ANY_KEY,
            "AWS_DEFAULT_REGION": REGION,
            # Nothing of a developer's own AWS set-up may get in.
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def address(self) -> str:
        """The endpoint of all services."""
        return f"http://{LOOPBACK}:{self.port}"

    def launch(self) -> None:
        """Start the server."""
        self.run([sys.executable, "-m", "deployment.local.fake_aws", str(self.port)])

    def wait_until_ready(self) -> None:
        """Wait until the server answers."""
        assert self.process is not None
        self.process.wait_until(self._answers, timeout=_SECONDS_TO_START)

    def _answers(self) -> bool:
        try:
            with local_session() as session:
                return session.get(f"{self.address}/_control/calls", timeout=5).ok
        except requests.RequestException:
            return False


class AwsControl(RemoteControl):
    """Clients for any account of the fake AWS, and its remote control."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self._sessions: dict[str, boto3.Session] = {}
        # Making a client costs a hundred times what a call does.
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._inside: set[str] = set()

    def reset(self) -> None:
        """Forget all accounts' resources, the faults and the calls.

        Clients inside other accounts would act in the primary one until the account is asked for
        again.
        """
        self._inside.clear()
        self.call("POST", "/moto-api/reset")
        self.call("POST", "/_control/reset")

    def client(
        self, service: str, *, account_id: str = PRIMARY_ACCOUNT_ID, region: str = REGION
    ) -> Any:
        """Return a client that acts inside the account, by default the product's own."""
        session = self.assume(account_id)
        key = (service, account_id, region)
        if key not in self._clients:
            self._clients[key] = session.client(
                service, region_name=region, endpoint_url=self.base_url
            )
        return self._clients[key]

    def assume(self, account_id: str) -> boto3.Session:
        """Return a session inside the account."""
        if account_id not in self._sessions:
            self._sessions[account_id] = _make_session()
        session = self._sessions[account_id]
        if account_id not in self._inside:
            if account_id != PRIMARY_ACCOUNT_ID:
                self._enter(session, account_id)
            self._inside.add(account_id)
        return session

    def _enter(self, session: boto3.Session, account_id: str) -> None:
        """Have this session, and the clients that were made with it, act inside the account."""
        granted = self.client("sts").assume_role(
            RoleArn=role_arn(account_id), RoleSessionName=f"inside-{account_id}"
        )["Credentials"]
        used = session.get_credentials()
        used.access_key = granted["AccessKeyId"]
        used.secret_key = granted["SecretAccessKey"]
        used.token = granted["SessionToken"]

    def provision_primary_account(self, environment_name: str) -> None:
        """Create the buckets, queues and notifications that the product expects (spec 04 §5.3)."""
        for bucket, queue, prefix, suffix in (
            ("trails", "cloudtrail-s3", "AWSLogs/", ".json.gz"),
            ("inspections", "inspections-s3", "InspectionResults/", ".json"),
        ):
            self._connect_bucket_to_queue(
                bucket=f"{environment_name}-cloudigrade-{bucket}",
                queue_arn=self._create_queue(f"{environment_name}-cloudigrade-{queue}"),
                prefix=prefix,
                suffix=suffix,
            )

    def _create_queue(self, name: str) -> str:
        sqs = self.client("sqs")
        sqs.create_queue(QueueName=f"{name[:76]}-dlq")
        redrive = {"deadLetterTargetArn": _queue_arn(f"{name[:76]}-dlq"), "maxReceiveCount": 5}
        attributes = {"MessageRetentionPeriod": "345600", "RedrivePolicy": json.dumps(redrive)}
        sqs.create_queue(QueueName=name, Attributes=attributes)
        return _queue_arn(name)

    def _connect_bucket_to_queue(
        self, *, bucket: str, queue_arn: str, prefix: str, suffix: str
    ) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=bucket)
        rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
        notification = {
            "Id": "Notifications",
            "QueueArn": queue_arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [notification]}
        )

    def refuse(
        self,
        service: str,
        action: str,
        code: str,
        *,
        account_id: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer this action with this error code; without ``times`` until the next reset."""
        fault: dict[str, Any] = {"service": service, "action": action, "code": code}
        if account_id is not None:
            fault["account"] = account_id
        if times is not None:
            fault["times"] = times
        self.call("POST", "/_control/faults", fault)

    def hold(self, service: str, action: str, *, after: int = 0) -> None:
        """Answer this action so often, and then not before ``recover`` or the next reset."""
        self.call("POST", "/_control/holds", {"service": service, "action": action, "after": after})

    def recover(self) -> None:
        """Answer all actions again, those that wait too."""
        self.call("DELETE", "/_control/faults")

    def refuse_nothing(self) -> None:
        """Answer all actions again, and begin a new record of calls."""
        self.call("POST", "/_control/reset")

    def corrupt_block(self, snapshot_id: str, block: int, *, times: int = 10**6) -> None:
        """Damage what the next answers say of a block of a snapshot."""
        corruption = {"snapshot": snapshot_id, "block": block, "times": times}
        self.call("POST", "/_control/corruptions", corruption)

    def refused(self) -> dict[str, int]:
        """Return how many calls were refused, by error code."""
        counts: dict[str, int] = self.call("GET", "/_control/refused")
        return counts

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls so far, in order: service, action, account, region, dry_run."""
        recorded: list[dict[str, Any]] = self.call("GET", "/_control/calls")
        return recorded


def _queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{PRIMARY_ACCOUNT_ID}:{name}"


def _make_session() -> boto3.Session:
    """Return a session that shares the descriptions of the services, which take long to read."""
    core = botocore.session.Session()
    core.register_component("data_loader", _service_descriptions())
    return boto3.Session(
        aws_access_key_id=_ANY_KEY, aws_secret_access_key=_ANY_KEY, botocore_session=core
    )


@functools.cache
def _service_descriptions() -> Loader:
    return botocore.session.Session().get_component("data_loader")


def role_arn(account_id: str) -> str:
    """Return the ARN of the role that a customer would make for us in the account."""
    return f"arn:aws:iam::{account_id}:role/cloudigrade"
