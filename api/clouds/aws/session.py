"""Clients of AWS: our own, and those inside customers' accounts (spec 04 §3.1).

Clients are made once and shared by all threads of a process. Those of a customer live as long as
the credentials of the role they act in; a session is never wider than our policy.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.arn import Arn
from api.clouds.aws.errors import AwsError, code_of
from api.clouds.aws.policy import policy_text
from api.clouds.aws.response_parsers import TolerantParsers
from util import clock

HOME_REGION = "us-east-1"
"""Where a customer's trail lives, and where the regions are asked for."""

MAX_CLIENTS = 64
MAX_ROLES = 512
"""How much a process remembers (a client takes more than 1 MB); the least used is forgotten."""

LIFETIME = timedelta(hours=1)
"""Of credentials, as AWS gives them where nothing else is asked for."""

RENEW_BEFORE = timedelta(minutes=5)

SHORT_READ_TIMEOUT = 5
"""Seconds that a client with a short time-out waits for an answer."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials of a customer's role."""

    access_key_id: str
    secret_access_key: str
    token: str
    expires_at: datetime

    @property
    def usable(self) -> bool:
        """Return whether they last for more than a moment."""
        return clock.now() + RENEW_BEFORE < self.expires_at


class _Role:
    """A customer's role: the lock lets one thread assume it while the others wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.credentials: Credentials | None = None


class Clients:
    """The clients of one process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._roles: OrderedDict[str, _Role] = OrderedDict()
        self._clients: OrderedDict[tuple, tuple[Credentials | None, Any]] = OrderedDict()

    @cached_property
    def _session(self) -> Any:
        """Return the session of all clients; only processes that talk to AWS load its packages."""
        core = import_module("botocore.session").get_session()
        core.register_component("response_parser_factory", TolerantParsers())
        return import_module("boto3").Session(botocore_session=core)

    def own(self, service: str, region: str, *, short_timeout: bool = False) -> Any:
        """Return a client with our own credentials; ``short_timeout`` is for a caller who waits."""
        return self._client(service, region, None, None, short_timeout=short_timeout)

    def of_customer(self, arn: Arn, service: str, region: str = HOME_REGION) -> Any:
        """Return a client in a customer's role; raises ``ClientError`` if the role is refused."""
        return self._client(service, region, arn, self._credentials(arn))

    def forget(self, arn: Arn) -> None:
        """Assume the role anew the next time, so that what the customer changed is seen."""
        with self._lock:
            self._roles.pop(arn.text, None)

    def _credentials(self, arn: Arn) -> Credentials:
        with self._lock:
            role = self._roles.setdefault(arn.text, _Role())
            self._roles.move_to_end(arn.text)
            self._trim(self._roles, MAX_ROLES)
        # Asking takes its time, and other threads have other roles to ask for.
        with role.lock:
            if role.credentials is None or not role.credentials.usable:
                role.credentials = self._assume(arn)
            return role.credentials

    def _assume(self, arn: Arn) -> Credentials:
        answer = self.own("sts", settings.AWS_DEFAULT_REGION).assume_role(
            RoleArn=arn.text,
            RoleSessionName=f"cloudigrade-{arn.account_id}",
            Policy=policy_text(),
        )["Credentials"]
        return Credentials(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            # With a clock that is slow, AWS's moment would be past before we notice.
            expires_at=min(answer["Expiration"], clock.now() + LIFETIME),
        )

    def _client(
        self,
        service: str,
        region: str,
        arn: Arn | None,
        credentials: Credentials | None,
        *,
        short_timeout: bool = False,
    ) -> Any:
        key = (service, region, arn and arn.text, short_timeout)
        with self._lock:
            made_with, client = self._clients.get(key, (None, None))
            if client is None or made_with != credentials:
                client = self._make(
                    service, region, credentials, _config(short_timeout=short_timeout)
                )
                self._clients[key] = (credentials, client)
                self._trim(self._clients, MAX_CLIENTS)
            self._clients.move_to_end(key)
            return client

    def _make(
        self, service: str, region: str, credentials: Credentials | None, config: Config
    ) -> Any:
        keys = {}
        if credentials:
            keys = {
                "aws_access_key_id": credentials.access_key_id,
                "aws_secret_access_key": credentials.secret_access_key,
                "aws_session_token": credentials.token,
            }
        return self._session.client(service, region_name=region, config=config, **keys)

    @staticmethod
    def _trim(memory: OrderedDict, size: int) -> None:
        while len(memory) > size:
            memory.popitem(last=False)


def _config(*, short_timeout: bool) -> Config:
    """Let the SDK itself repeat, a few times and ever later, what was throttled or failed.

    AWS_MAX_ATTEMPTS says how often; what reaches us has failed that often. A client with a
    short time-out gives up well before the HTTP server's timeout of 30 seconds: it asks twice at
    most, 8 seconds each.
    """
    limits: dict[str, Any] = {
        "connect_timeout": 3 if short_timeout else 5,
        "read_timeout": SHORT_READ_TIMEOUT if short_timeout else 30,
        "retries": {"mode": "standard", **({"total_max_attempts": 2} if short_timeout else {})},
    }
    return Config(
        **limits,
        max_pool_connections=32,
        user_agent_extra="cloudigrade",
    )


clients = Clients()


def sqs() -> Any:
    """Return our client of SQS."""
    return clients.own("sqs", settings.SQS_DEFAULT_REGION)


def s3() -> Any:
    """Return our client of S3."""
    return clients.own("s3", settings.S3_DEFAULT_REGION)


@cache
def own_account_id() -> str:
    """Return the 12 digits of our own AWS account; AWS is asked until it has told us once.

    An HTTP client may be waiting for it. Raises ``AwsError`` if our credentials are not accepted,
    and what AWS, or its absence, raises.
    """
    account_id = primary_account_id()
    if account_id is None:
        raise AwsError("our own credentials are not accepted")
    return account_id


def primary_account_id() -> str | None:
    """Return the id of our own AWS account, or None if our credentials are not accepted.

    An HTTP client may be waiting for it. Raises what AWS, or its absence, raises.
    """
    sts = clients.own("sts", settings.AWS_DEFAULT_REGION, short_timeout=True)
    try:
        identity = sts.get_caller_identity()
    except ClientError as error:
        if code_of(error) == "InvalidClientTokenId":
            return None
        raise
    return str(identity["Account"])
