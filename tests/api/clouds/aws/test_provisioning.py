"""What is ours in our own AWS account (08 §17)."""

import json

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command

from api.clouds.aws import provisioning

TRAILS, RESULTS = "test-cloudigrade-trails", "test-cloudigrade-inspections"
READING = ("Get", "Describe", "Head", "List")


@pytest.fixture(autouse=True)
def _no_leader(valkey):
    cache.clear()


def provisioned(capsys):
    call_command("provisionaws")
    return capsys.readouterr().out.splitlines()


def test_scenario_26_everything_is_made_and_a_second_run_changes_nothing(aws, requests, capsys):
    first = provisioned(capsys)
    assert len(first) == 8
    assert all(line.endswith("made or mended") for line in first)
    requests.clear()
    second = provisioned(capsys)
    assert all(line.endswith("in order") for line in second)
    assert [one for one in requests if not one.action.startswith(READING)] == []


def test_the_inspection_host(aws, capsys):
    provisioned(capsys)
    ec2, iam = aws.client("ec2"), aws.client("iam")
    [key] = ec2.describe_key_pairs()["KeyPairs"]
    assert key["KeyName"] == "cloudigrade-ecs-ssh-test"
    [group] = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["cloudigrade-sg-test"]}]
    )["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert group["IpPermissionsEgress"][0]["IpProtocol"] == "-1"
    role = iam.get_role(RoleName="cloudigrade-lt-test-role")["Role"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}
    own = iam.get_role_policy(
        RoleName="cloudigrade-lt-test-role", PolicyName="cloudigrade-lt-test-policy"
    )["PolicyDocument"]["Statement"]
    assert [(one["Action"], one["Resource"]) for one in own] == [
        (["s3:ListBucket"], f"arn:aws:s3:::{RESULTS}"),
        (["s3:PutObject"], f"arn:aws:s3:::{RESULTS}/InspectionResults/*"),
    ]
    [logs] = iam.get_role_policy(
        RoleName="cloudigrade-lt-test-role", PolicyName="cloudigrade-lt-test-cw-policy"
    )["PolicyDocument"]["Statement"]
    assert all(action.startswith("logs:") for action in logs["Action"])
    profile = iam.get_instance_profile(InstanceProfileName="cloudigrade-lt-test-role")
    assert profile["InstanceProfile"]["Roles"][0]["RoleName"] == "cloudigrade-lt-test-role"
    [version] = ec2.describe_launch_template_versions(
        LaunchTemplateName="cloudigrade-lt-test", Versions=["$Default"]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert data["ImageId"].startswith("ami-")
    assert (data["InstanceType"], data["KeyName"]) == ("t2.micro", key["KeyName"])
    assert data["SecurityGroupIds"] == [group["GroupId"]]
    assert data["MetadataOptions"]["HttpTokens"] == "required"


def test_buckets_and_queues(aws, capsys):
    provisioned(capsys)
    s3, sqs = aws.client("s3"), aws.client("sqs")
    policy = json.loads(s3.get_bucket_policy(Bucket=TRAILS)["Policy"])
    assert {one["Action"] for one in policy["Statement"]} == {"s3:GetBucketAcl", "s3:PutObject"}
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=RESULTS)
    for bucket in (TRAILS, RESULTS):
        [rule] = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
        assert (rule["Id"], rule["Events"]) == ("Notifications", ["s3:ObjectCreated:*"])
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    names = {url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]}
    assert names == {
        *("test-cloudigrade-cloudtrail-s3", "test-cloudigrade-cloudtrail-s3-dlq"),
        *("test-cloudigrade-inspections-s3", "test-cloudigrade-inspections-s3-dlq"),
    }


def test_what_was_changed_by_hand_is_mended(aws, capsys):
    provisioned(capsys)
    s3, ec2 = aws.client("s3"), aws.client("ec2")
    s3.delete_bucket_policy(Bucket=TRAILS)
    ec2.create_launch_template_version(
        LaunchTemplateName="cloudigrade-lt-test", LaunchTemplateData={"InstanceType": "m5.large"}
    )
    ec2.modify_launch_template(LaunchTemplateName="cloudigrade-lt-test", DefaultVersion="2")
    mended = [line for line in provisioned(capsys) if line.endswith("made or mended")]
    assert mended == [
        f"S3 bucket {TRAILS}: made or mended",
        "EC2 launch template cloudigrade-lt-test: made or mended",
    ]
    assert s3.get_bucket_policy(Bucket=TRAILS)["Policy"]


def test_everything_is_removed_filled_buckets_too(aws, capsys):
    provisioned(capsys)
    aws.client("s3").put_object(Bucket=TRAILS, Key="AWSLogs/1.json.gz", Body=b"log")
    with pytest.raises(CommandError, match="--confirm"):
        call_command("provisionaws", "--absent")
    call_command("provisionaws", "--absent", "--confirm")
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
    assert aws.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert aws.client("ec2").describe_key_pairs()["KeyPairs"] == []
    with pytest.raises(aws.client("iam").exceptions.NoSuchEntityException):
        aws.client("iam").get_role(RoleName="cloudigrade-lt-test-role")
    call_command("provisionaws", "--absent", "--confirm")


def test_a_dry_run_asks_nothing(aws, requests, capsys):
    call_command("provisionaws", "--dry-run")
    assert requests == []
    assert len(capsys.readouterr().out.splitlines()) == len(provisioning.resources())
