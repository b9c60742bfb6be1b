"""What an inspection instance is started from: key, group, role, template (spec 05 §4.7, 08 §17).

Of each there is a function that only tells whether it is right, which is None where there is none;
one that makes or mends it, several processes at once if need be; and one that removes it.
"""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.provisioning.notifying_buckets import results_bucket
from api.clouds.aws.session import clients

IMAGE_PARAMETER = "/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/image_id"
INSTANCE_TYPE = "t2.micro"
_MISSING = frozenset(
    {
        "InvalidKeyPair.NotFound",
        "InvalidLaunchTemplateName.NotFoundException",
        "NoSuchEntity",
    }
)
_THERE_ALREADY = frozenset(
    {
        "InvalidKeyPair.Duplicate",
        "InvalidGroup.Duplicate",
        "InvalidLaunchTemplateName.AlreadyExistsException",
        "EntityAlreadyExists",
    }
)


def _ec2() -> Any:
    return clients.own("ec2", settings.AWS_DEFAULT_REGION)


def _iam() -> Any:
    return clients.own("iam", settings.AWS_DEFAULT_REGION)


def key_name() -> str:
    """Return the name of the key pair. Its private key is not kept, so nobody can log in."""
    return f"cloudigrade-ecs-ssh-{settings.CLOUDIGRADE_ENVIRONMENT}"


def group_name() -> str:
    """Return the name of the security group."""
    return f"cloudigrade-sg-{settings.CLOUDIGRADE_ENVIRONMENT}"


def template_name() -> str:
    """Return the name of the launch template."""
    return str(settings.AWS_INSPECTION_LAUNCH_TEMPLATE_NAME)


def role_name() -> str:
    """Return the name of the role, and of the instance profile that hands it to instances."""
    return f"{template_name()}-role"


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


_TRUST = _policy(
    {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
)


def role_policies() -> dict[str, dict[str, Any]]:
    """Return the role's policies by name: put results into their bucket, write logs."""
    bucket = results_bucket()
    logs = (
        *("CreateLogGroup", "CreateLogStream", "PutLogEvents", "PutRetentionPolicy"),
        *("DescribeLogGroups", "DescribeLogStreams"),
    )
    return {
        f"{template_name()}-policy": _policy(
            _allow(["s3:ListBucket"], bucket.bucket_arn),
            _allow(["s3:PutObject"], f"{bucket.bucket_arn}/{bucket.prefix}*"),
        ),
        f"{template_name()}-cw-policy": _policy(_allow([f"logs:{name}" for name in logs], "*")),
    }


def key_is_right() -> bool | None:
    """Return whether the key pair exists; it cannot be wrong."""
    found = _unless_missing(lambda: _ec2().describe_key_pairs(KeyNames=[key_name()]))
    return True if found else None


def ensure_key() -> None:
    """Make the key pair; do not keep its private key."""
    _make(lambda: _ec2().create_key_pair(KeyName=key_name()))


def remove_key() -> None:
    """Delete the key pair."""
    _ec2().delete_key_pair(KeyName=key_name())


def _group() -> dict[str, Any] | None:
    named = [{"Name": "group-name", "Values": [group_name()]}]
    groups = _ec2().describe_security_groups(Filters=named)["SecurityGroups"]
    return groups[0] if groups else None


def group_is_right() -> bool | None:
    """Return whether the security group lets nothing in."""
    group = _group()
    return None if group is None else not group["IpPermissions"]


def ensure_group() -> None:
    """Make the security group in the default VPC: nothing comes in, everything goes out."""
    if group := _group():
        _ec2().revoke_security_group_ingress(
            GroupId=group["GroupId"], IpPermissions=group["IpPermissions"]
        )
    else:
        _make(
            lambda: _ec2().create_security_group(
                GroupName=group_name(), Description="Instances that inspect images for cloudigrade"
            )
        )


def remove_group() -> None:
    """Delete the security group."""
    if group := _group():
        _ec2().delete_security_group(GroupId=group["GroupId"])


def role_is_right() -> bool | None:
    """Return whether the role, its policies and its instance profile are as they have to be."""
    trust, profile = _trust(), _profile_roles()
    if trust is None and profile is None:
        return None
    return trust == _TRUST and profile == [role_name()] and not _wrong_policies()


def ensure_role() -> None:
    """Make or mend the role, its policies and its instance profile."""
    name = role_name()
    trust, policy = _trust(), json.dumps(_TRUST)
    if trust is None:
        _make(lambda: _iam().create_role(RoleName=name, AssumeRolePolicyDocument=policy))
    elif trust != _TRUST:
        _iam().update_assume_role_policy(RoleName=name, PolicyDocument=policy)
    for policy_name, document in _wrong_policies().items():
        _iam().put_role_policy(
            RoleName=name, PolicyName=policy_name, PolicyDocument=json.dumps(document)
        )
    _ensure_profile()


def _trust() -> Any:
    """Return who may assume the role, None where there is no role."""
    found = _unless_missing(lambda: _iam().get_role(RoleName=role_name()))
    return found and found["Role"]["AssumeRolePolicyDocument"]


def _wrong_policies() -> dict[str, dict[str, Any]]:
    """Return those of the role's policies that it has not, or has with another content."""
    return {
        name: document
        for name, document in role_policies().items()
        if _role_policy(name) != document
    }


def _role_policy(name: str) -> Any:
    found = _unless_missing(lambda: _iam().get_role_policy(RoleName=role_name(), PolicyName=name))
    return found and found["PolicyDocument"]


def _profile_roles() -> list[str] | None:
    """Return the roles in the instance profile, None where there is no profile."""
    found = _unless_missing(lambda: _iam().get_instance_profile(InstanceProfileName=role_name()))
    return found and [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]


def _ensure_profile() -> None:
    name = role_name()
    roles = _profile_roles()
    if roles is None:
        _make(lambda: _iam().create_instance_profile(InstanceProfileName=name))
    for other in {*(roles or ())} - {name}:
        _iam().remove_role_from_instance_profile(InstanceProfileName=name, RoleName=other)
    if name not in (roles or ()):
        # There is room for one role only.
        _make(
            lambda: _iam().add_role_to_instance_profile(InstanceProfileName=name, RoleName=name),
            "LimitExceeded",
        )


def remove_role() -> None:
    """Delete the instance profile and the role, with all policies that it has."""
    name = role_name()
    roles = _profile_roles()
    for role in roles or ():
        _iam().remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
    if roles is not None:
        _iam().delete_instance_profile(InstanceProfileName=name)
    if _trust() is None:
        return
    for inline in _iam().list_role_policies(RoleName=name)["PolicyNames"]:
        _iam().delete_role_policy(RoleName=name, PolicyName=inline)
    for attached in _iam().list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        _iam().detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    _iam().delete_role(RoleName=name)


def template_data() -> dict[str, Any]:
    """Return what instances are started with. The image is the one that AWS recommends today."""
    parameter = clients.own("ssm", settings.AWS_DEFAULT_REGION).get_parameter(Name=IMAGE_PARAMETER)
    group = _group()
    return {
        "ImageId": parameter["Parameter"]["Value"],
        "InstanceType": INSTANCE_TYPE,
        "KeyName": key_name(),
        "SecurityGroupIds": [group and group["GroupId"]],
        "IamInstanceProfile": {"Name": role_name()},
        # The inspector runs in a container, one hop further away.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    }


def _default_version() -> dict[str, Any] | None:
    found = _unless_missing(
        lambda: _ec2().describe_launch_template_versions(
            LaunchTemplateName=template_name(), Versions=["$Default"]
        )
    )
    return found and found["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def template_is_right() -> bool | None:
    """Return whether the default version of the launch template says what it has to."""
    present = _default_version()
    if present is None:
        return None
    return _says(present, template_data())


def _says(present: Any, wanted: Any) -> bool:
    """Return whether something is as it has to be; EC2 may tell more than was put."""
    if isinstance(wanted, dict) and isinstance(present, dict):
        return all(_says(present.get(key), value) for key, value in wanted.items())
    return bool(present == wanted)


def ensure_template() -> None:
    """Make the launch template, or give it a new default version."""
    name, wanted = template_name(), template_data()
    if _default_version() is None:
        _make(
            lambda: _ec2().create_launch_template(
                LaunchTemplateName=name, LaunchTemplateData=wanted
            )
        )
        return
    version = _ec2().create_launch_template_version(
        LaunchTemplateName=name, LaunchTemplateData=wanted
    )["LaunchTemplateVersion"]["VersionNumber"]
    _ec2().modify_launch_template(LaunchTemplateName=name, DefaultVersion=str(version))


def remove_template() -> None:
    """Delete the launch template."""
    if _default_version() is not None:
        _ec2().delete_launch_template(LaunchTemplateName=template_name())


def _unless_missing(call: Callable[[], Any]) -> Any:
    """Make a call; return its answer, None if what it is about does not exist."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) in _MISSING:
            return None
        raise


def _make(call: Callable[[], Any], *there_already: str) -> None:
    """Make a thing, unless another process was faster, for which the call may have own codes."""
    try:
        call()
    except ClientError as error:
        if code_of(error) not in {*_THERE_ALREADY, *there_already}:
            raise
