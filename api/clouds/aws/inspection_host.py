"""What an inspection instance is started from: key, group, role, template (spec 05 §4.7, 08 §17).

Each ``ensure_...`` leaves alone what is as it has to be, and each ``remove_...`` what is not there.
"""

import json
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.pipes import inspection_pipe
from api.clouds.aws.session import clients

IMAGE_PARAMETER = "/aws/service/ecs/optimized-ami/amazon-linux-2/recommended/image_id"
INSTANCE_TYPE = "t2.micro"
_MISSING = frozenset(
    {
        "InvalidKeyPair.NotFound",
        "InvalidGroup.NotFound",
        "InvalidLaunchTemplateName.NotFoundException",
        "NoSuchEntity",
    }
)


def _ec2() -> Any:
    return clients.own("ec2", settings.AWS_DEFAULT_REGION)


def _iam() -> Any:
    return clients.own("iam", settings.AWS_DEFAULT_REGION)


def key_name() -> str:
    """Give the name of the key pair. Nobody has its private half: nobody logs in."""
    return f"cloudigrade-ecs-ssh-{settings.CLOUDIGRADE_ENVIRONMENT}"


def group_name() -> str:
    """Give the name of the security group."""
    return f"cloudigrade-sg-{settings.CLOUDIGRADE_ENVIRONMENT}"


def template_name() -> str:
    """Give the name of the launch template."""
    return str(settings.AWS_INSPECTION_LAUNCH_TEMPLATE_NAME)


def role_name() -> str:
    """Give the name of the role, and of the instance profile that hands it to instances."""
    return f"{template_name()}-role"


def role_policies() -> dict[str, dict[str, Any]]:
    """Give the role's policies by name: put results into their bucket, write logs."""
    pipe = inspection_pipe()
    logs = (
        *("CreateLogGroup", "CreateLogStream", "PutLogEvents", "PutRetentionPolicy"),
        *("DescribeLogGroups", "DescribeLogStreams"),
    )
    return {
        f"{template_name()}-policy": _policy(
            _allow(["s3:ListBucket"], pipe.bucket_arn),
            _allow(["s3:PutObject"], f"{pipe.bucket_arn}/{pipe.prefix}*"),
        ),
        f"{template_name()}-cw-policy": _policy(_allow([f"logs:{name}" for name in logs], "*")),
    }


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def ensure_key() -> bool:
    """Make the key pair and forget its private half; tell whether it was missing."""
    if _found(lambda: _ec2().describe_key_pairs(KeyNames=[key_name()])):
        return False
    _ec2().create_key_pair(KeyName=key_name())
    return True


def remove_key() -> None:
    """Delete the key pair."""
    _found(lambda: _ec2().delete_key_pair(KeyName=key_name()))


def group_id() -> str | None:
    """Give the id of the security group, None where there is none."""
    named = [{"Name": "group-name", "Values": [group_name()]}]
    groups = _ec2().describe_security_groups(Filters=named)["SecurityGroups"]
    return groups[0]["GroupId"] if groups else None


def ensure_group() -> bool:
    """Make the security group in the default VPC: nothing comes in, everything goes out."""
    if group_id():
        return False
    _ec2().create_security_group(
        GroupName=group_name(), Description="Instances that inspect images for cloudigrade"
    )
    return True


def remove_group() -> None:
    """Delete the security group."""
    if found := group_id():
        _ec2().delete_security_group(GroupId=found)


def ensure_role() -> bool:
    """Make the role, its policies and its instance profile; tell whether anything was changed."""
    changed = False
    if not _found(lambda: _iam().get_role(RoleName=role_name())):
        trust = _policy(
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        )
        _iam().create_role(RoleName=role_name(), AssumeRolePolicyDocument=json.dumps(trust))
        changed = True
    for name, document in role_policies().items():
        if _role_policy(name) != document:
            _iam().put_role_policy(
                RoleName=role_name(), PolicyName=name, PolicyDocument=json.dumps(document)
            )
            changed = True
    return _ensure_profile() or changed


def _role_policy(name: str) -> Any:
    try:
        answer = _iam().get_role_policy(RoleName=role_name(), PolicyName=name)
    except ClientError as error:
        if code_of(error) in _MISSING:
            return None
        raise
    return answer["PolicyDocument"]


def _profile_roles() -> list[str] | None:
    """Give the roles in the instance profile, None where there is no profile."""
    try:
        profile = _iam().get_instance_profile(InstanceProfileName=role_name())["InstanceProfile"]
    except ClientError as error:
        if code_of(error) in _MISSING:
            return None
        raise
    return [role["RoleName"] for role in profile["Roles"]]


def _ensure_profile() -> bool:
    roles = _profile_roles()
    if roles is None:
        _iam().create_instance_profile(InstanceProfileName=role_name())
    if role_name() in (roles or ()):
        return False
    _iam().add_role_to_instance_profile(InstanceProfileName=role_name(), RoleName=role_name())
    return True


def remove_role() -> None:
    """Delete the instance profile, the role's policies and the role."""
    roles = _profile_roles()
    for role in roles or ():
        _iam().remove_role_from_instance_profile(InstanceProfileName=role_name(), RoleName=role)
    if roles is not None:
        _iam().delete_instance_profile(InstanceProfileName=role_name())
    for name in role_policies():
        _found(lambda: _iam().delete_role_policy(RoleName=role_name(), PolicyName=name))  # noqa: B023
    _found(lambda: _iam().delete_role(RoleName=role_name()))


def template_data() -> dict[str, Any]:
    """Give what instances are started with. The image is the one that AWS recommends today."""
    parameter = clients.own("ssm", settings.AWS_DEFAULT_REGION).get_parameter(Name=IMAGE_PARAMETER)
    return {
        "ImageId": parameter["Parameter"]["Value"],
        "InstanceType": INSTANCE_TYPE,
        "KeyName": key_name(),
        "SecurityGroupIds": [group_id()],
        "IamInstanceProfile": {"Name": role_name()},
        # The inspector runs in a container, one hop further away.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    }


def ensure_template() -> bool:
    """Make the launch template, or give it a new default version; tell whether that was needed."""
    wanted = template_data()
    name = template_name()
    present = _default_version()
    if present is None:
        _ec2().create_launch_template(LaunchTemplateName=name, LaunchTemplateData=wanted)
        return True
    if all(present.get(key) == value for key, value in wanted.items()):
        return False
    version = _ec2().create_launch_template_version(
        LaunchTemplateName=name, LaunchTemplateData=wanted
    )["LaunchTemplateVersion"]["VersionNumber"]
    _ec2().modify_launch_template(LaunchTemplateName=name, DefaultVersion=str(version))
    return True


def _default_version() -> dict[str, Any] | None:
    try:
        versions = _ec2().describe_launch_template_versions(
            LaunchTemplateName=template_name(), Versions=["$Default"]
        )["LaunchTemplateVersions"]
    except ClientError as error:
        if code_of(error) in _MISSING:
            return None
        raise
    return versions[0]["LaunchTemplateData"] if versions else None


def remove_template() -> None:
    """Delete the launch template."""
    if _default_version() is not None:
        _ec2().delete_launch_template(LaunchTemplateName=template_name())


def _found(call: Any) -> bool:
    """Make a call; tell whether what it is about exists."""
    try:
        call()
    except ClientError as error:
        if code_of(error) in _MISSING:
            return False
        raise
    return True
