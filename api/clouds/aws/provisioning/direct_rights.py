"""Our own right to read the blocks of snapshots, which direct inspection needs (spec 13 §4).

It is a policy of whoever we are in our own account, a user or a role. Where that cannot be changed
from here, a line in the log says what is missing; inspections fall back to instances meanwhile.
"""

import json
import logging
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of, is_access_denied
from api.clouds.aws.inspection.tags import ENVIRONMENT
from api.clouds.aws.session import clients

logger = logging.getLogger(__name__)

ACTIONS = ("ebs:ListSnapshotBlocks", "ebs:GetSnapshotBlock")
_MISSING = "NoSuchEntity"


def policy_name() -> str:
    """Return the name of the policy."""
    return f"cloudigrade-direct-inspection-{settings.CLOUDIGRADE_ENVIRONMENT}"


def policy_document() -> dict[str, Any]:
    """Return the policy: read blocks of the snapshots that this environment has made."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": list(ACTIONS),
                "Resource": "arn:aws:ec2:*::snapshot/*",
                "Condition": {
                    "StringEquals": {
                        f"aws:ResourceTag/{ENVIRONMENT}": settings.CLOUDIGRADE_ENVIRONMENT
                    }
                },
            }
        ],
    }


class Identity:
    """Who we are in our own account: a user or a role, and its policies."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        self._iam = clients.own("iam", settings.AWS_DEFAULT_REGION)

    def exists(self) -> bool:
        """Return whether IAM knows it."""
        try:
            if self.kind == "user":
                self._iam.get_user(UserName=self.name)
            else:
                self._iam.get_role(RoleName=self.name)
        except ClientError as error:
            if code_of(error) == _MISSING:
                return False
            raise
        return True

    def policy(self) -> dict[str, Any] | None:
        """Return the policy that it has under our name."""
        try:
            if self.kind == "user":
                found = self._iam.get_user_policy(UserName=self.name, PolicyName=policy_name())
            else:
                found = self._iam.get_role_policy(RoleName=self.name, PolicyName=policy_name())
        except ClientError as error:
            if code_of(error) == _MISSING:
                return None
            raise
        return dict(found["PolicyDocument"])

    def put(self) -> None:
        """Return it the policy."""
        policy = {"PolicyName": policy_name(), "PolicyDocument": json.dumps(policy_document())}
        if self.kind == "user":
            self._iam.put_user_policy(UserName=self.name, **policy)
        else:
            self._iam.put_role_policy(RoleName=self.name, **policy)

    def remove(self) -> None:
        """Take the policy away."""
        if self.kind == "user":
            self._iam.delete_user_policy(UserName=self.name, PolicyName=policy_name())
        else:
            self._iam.delete_role_policy(RoleName=self.name, PolicyName=policy_name())


def own_identity() -> Identity | None:
    """Return who we are; None for the account's root, and for what IAM does not know."""
    arn = clients.own("sts", settings.AWS_DEFAULT_REGION).get_caller_identity()["Arn"]
    kind, name = parse_identity(arn) or ("", "")
    if not kind:
        return None
    identity = Identity(kind, name)
    return identity if identity.exists() else None


def parse_identity(arn: str) -> tuple[str, str] | None:
    """Return kind (user or role) and name of the identity that an ARN names."""
    parts = arn.split(":", 5)
    kind, *path = parts[5].split("/") if len(parts) == 6 else [""]
    if kind == "user" and path:
        return "user", path[-1]
    if kind == "assumed-role" and path:
        return "role", path[0]
    return None


def is_right() -> bool | None:
    """Return whether we have the policy; True, too, where it is not for us to change that."""
    try:
        identity = own_identity()
        if identity is None:
            logger.info("We are no user or role of IAM; rights are left as they are")
            return True
        policy = identity.policy()
    except ClientError as error:
        if not is_access_denied(error):
            raise
        _report(error)
        return True
    return None if policy is None else policy == policy_document()


def ensure() -> None:
    """Return ourselves the policy, if we may."""
    identity = own_identity()
    if identity is None:
        return
    try:
        identity.put()
    except ClientError as error:
        if not is_access_denied(error):
            raise
        _report(error)


def remove() -> None:
    """Take the policy away from ourselves."""
    identity = own_identity()
    if identity is not None and identity.policy() is not None:
        identity.remove()


def _report(error: ClientError) -> None:
    logger.warning(
        "We may not manage our own policy %s (%s); somebody else has to allow us %s",
        policy_name(),
        error,
        " and ".join(ACTIONS),
    )
