"""What is ours in our own AWS account (08 §17)."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command

from api.clouds.aws.provisioning import direct_rights, launch_template, resources

TRAILS, RESULTS = "test-cloudigrade-trails", "test-cloudigrade-inspections"
QUEUE = "test-cloudigrade-cloudtrail-s3"
ROLE, TEMPLATE = "cloudigrade-lt-test-role", "cloudigrade-lt-test"
READING = ("Get", "Describe", "Head", "List")


@pytest.fixture(autouse=True)
def _no_leader(valkey):
    cache.clear()


def provisionaws(capsys, *options):
    """What the command says of each thing, in its order."""
    call_command("provisionaws", *options)
    return [tuple(line.split(": ")) for line in capsys.readouterr().out.splitlines()]


def verdicts(capsys, *options):
    return [verdict for _, verdict in provisionaws(capsys, *options)]


def changes(requests):
    return [one for one in requests if not one.action.startswith(READING)]


def test_scenario_26_everything_is_made_and_a_second_run_changes_nothing(aws, requests, capsys):
    assert verdicts(capsys) == ["made"] * 9
    requests.clear()
    assert verdicts(capsys) == ["in order"] * 9
    assert changes(requests) == []


def test_the_inspection_host(aws, capsys):
    provisionaws(capsys)
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
    provisionaws(capsys)
    s3, sqs = aws.client("s3"), aws.client("sqs")
    policy = json.loads(s3.get_bucket_policy(Bucket=TRAILS)["Policy"])
    service = {"Service": "cloudtrail.amazonaws.com"}
    trails = {
        "aws:SourceArn": [
            "arn:aws:cloudtrail:*:*:trail/test-*",
            "arn:aws-cn:cloudtrail:*:*:trail/test-*",
            "arn:aws-us-gov:cloudtrail:*:*:trail/test-*",
        ]
    }
    assert [{**one, "Sid": ""} for one in policy["Statement"]] == [
        {
            "Sid": "",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:GetBucketAcl",
            "Resource": f"arn:aws:s3:::{TRAILS}",
            "Condition": {"ArnLike": trails},
        },
        {
            "Sid": "",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{TRAILS}/AWSLogs/*",
            "Condition": {
                "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"},
                "ArnLike": trails,
            },
        },
    ]
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=RESULTS)
    for bucket in (TRAILS, RESULTS):
        [rule] = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
        assert (rule["Id"], rule["Events"]) == ("Notifications", ["s3:ObjectCreated:*"])
        [rule] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert (rule["ID"], rule["Expiration"]["Days"]) == ("s3_lifecycle_policy", 1460)
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    names = {url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]}
    assert names == {
        *("test-cloudigrade-cloudtrail-s3", "test-cloudigrade-cloudtrail-s3-dlq"),
        *("test-cloudigrade-inspections-s3", "test-cloudigrade-inspections-s3-dlq"),
    }


def without_policy(aws):
    aws.client("s3").delete_bucket_policy(Bucket=TRAILS)


def with_a_policy(aws):
    policy = aws.client("s3").get_bucket_policy(Bucket=TRAILS)["Policy"]
    aws.client("s3").put_bucket_policy(Bucket=RESULTS, Policy=policy.replace(TRAILS, RESULTS))


def without_notifications(aws):
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=RESULTS, NotificationConfiguration={}
    )


def without_lifecycle(aws):
    aws.client("s3").delete_bucket_lifecycle(Bucket=RESULTS)


def open_to_the_public(aws):
    aws.client("s3").delete_public_access_block(Bucket=TRAILS)


def unencrypted(aws):
    aws.client("s3").delete_bucket_encryption(Bucket=TRAILS)


def without_dead_letters(aws):
    sqs = aws.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{QUEUE}-dlq")["QueueUrl"])


def with_a_lax_policy(aws):
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "SQS:SendMessage",
        "Resource": arn["QueueArn"],
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{TRAILS}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def without_key(aws):
    aws.client("ec2").delete_key_pair(KeyName="cloudigrade-ecs-ssh-test")


def open_to_ssh(aws):
    aws.client("ec2").authorize_security_group_ingress(
        GroupName="cloudigrade-sg-test",
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            }
        ],
    )


def assumed_by_others(aws):
    iam = aws.client("iam")
    trust = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Principal"] = {"Service": "lambda.amazonaws.com"}
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(trust))


def may_not_write_logs(aws):
    aws.client("iam").delete_role_policy(RoleName=ROLE, PolicyName=f"{TEMPLATE}-cw-policy")


def without_profile(aws):
    iam = aws.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    iam.delete_instance_profile(InstanceProfileName=ROLE)


def with_another_role(aws):
    iam = aws.client("iam")
    iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    iam.remove_role_from_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName="other")


def larger(aws):
    ec2 = aws.client("ec2")
    ec2.create_launch_template_version(
        LaunchTemplateName=TEMPLATE, LaunchTemplateData={"InstanceType": "m5.large"}
    )
    ec2.modify_launch_template(LaunchTemplateName=TEMPLATE, DefaultVersion="2")


@pytest.mark.parametrize(
    ("spoil", "title", "verdict"),
    [
        (without_policy, f"S3 bucket {TRAILS}", "mended"),
        (with_a_policy, f"S3 bucket {RESULTS}", "mended"),
        (without_notifications, f"S3 bucket {RESULTS}", "mended"),
        (without_lifecycle, f"S3 bucket {RESULTS}", "mended"),
        (open_to_the_public, f"S3 bucket {TRAILS}", "mended"),
        (unencrypted, f"S3 bucket {TRAILS}", "mended"),
        (without_dead_letters, f"SQS queue {QUEUE}", "mended"),
        (with_a_lax_policy, f"SQS queue {QUEUE}", "mended"),
        (without_key, "EC2 key pair cloudigrade-ecs-ssh-test", "made"),
        (open_to_ssh, "EC2 security group cloudigrade-sg-test", "mended"),
        (assumed_by_others, f"IAM role {ROLE}", "mended"),
        (may_not_write_logs, f"IAM role {ROLE}", "mended"),
        (without_profile, f"IAM role {ROLE}", "mended"),
        (with_another_role, f"IAM role {ROLE}", "mended"),
        (larger, f"EC2 launch template {TEMPLATE}", "mended"),
    ],
)
def test_what_was_changed_by_hand_is_mended(aws, capsys, requests, spoil, title, verdict):
    provisionaws(capsys)
    spoil(aws)
    requests.clear()
    seen = provisionaws(capsys, "--dry-run")
    assert changes(requests) == []
    assert [one for one in seen if one[1] != "in order"] == [(title, f"would be {verdict}")]
    done = provisionaws(capsys)
    assert [one for one in done if one[1] != "in order"] == [(title, verdict)]
    assert verdicts(capsys) == ["in order"] * 9


def test_everything_is_removed_filled_buckets_too(aws, capsys):
    provisionaws(capsys)
    s3, iam = aws.client("s3"), aws.client("iam")
    s3.put_bucket_versioning(Bucket=TRAILS, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"log", b"another version"):
        s3.put_object(Bucket=TRAILS, Key="AWSLogs/1.json.gz", Body=body)
    s3.delete_object(Bucket=TRAILS, Key="AWSLogs/1.json.gz")
    document = iam.get_role_policy(RoleName=ROLE, PolicyName=f"{TEMPLATE}-policy")["PolicyDocument"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="by-hand", PolicyDocument=json.dumps(document))
    with pytest.raises(CommandError, match="--confirm"):
        call_command("provisionaws", "--absent")
    assert verdicts(capsys, "--absent", "--confirm") == ["removed"] * 9
    assert s3.list_buckets()["Buckets"] == []
    assert aws.client("sqs").list_queues().get("QueueUrls", []) == []
    assert aws.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert aws.client("ec2").describe_key_pairs()["KeyPairs"] == []
    assert iam.list_roles()["Roles"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert verdicts(capsys, "--absent", "--confirm") == ["not there"] * 9


def test_what_is_half_there_is_removed_too(aws, capsys):
    provisionaws(capsys)
    sqs = aws.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"])
    without_profile(aws)
    assert verdicts(capsys, "--absent", "--confirm") == ["removed"] * 9
    assert sqs.list_queues().get("QueueUrls", []) == []


def test_a_dry_run_only_reads(aws, requests, capsys):
    assert verdicts(capsys, "--dry-run") == ["would be made"] * 9
    assert verdicts(capsys, "--dry-run", "--absent") == ["not there"] * 9
    assert changes(requests) == []
    provisionaws(capsys)
    requests.clear()
    assert verdicts(capsys, "--dry-run") == ["in order"] * 9
    assert verdicts(capsys, "--dry-run", "--absent") == ["would be removed"] * 9
    assert changes(requests) == []


def test_other_programs_are_told_in_json(aws, capsys):
    call_command("provisionaws", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0] == {
        "title": f"SQS queue {RESULTS}-s3",
        "verdict": "made",
        "changed": True,
    }
    assert len(told) == 9


def test_several_processes_at_once_do_not_disturb_each_other(aws, capsys):
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(lambda: list(resources.provision())) for _ in range(3)]
        assert [len(run.result()) for run in runs] == [9, 9, 9]
    assert verdicts(capsys) == ["in order"] * 9


def test_what_another_process_made_meanwhile_is_no_trouble(aws, capsys, monkeypatch):
    provisionaws(capsys)
    for name in ("_group", "_trust", "_profile_roles", "_default_version"):
        monkeypatch.setattr(launch_template, name, lambda: None)
    monkeypatch.setattr(
        launch_template, "template_data", lambda: {"InstanceType": launch_template.INSTANCE_TYPE}
    )
    for ensure in ("key", "group", "role", "template"):
        getattr(launch_template, f"ensure_{ensure}")()
    monkeypatch.undo()
    assert verdicts(capsys) == ["in order"] * 9


@pytest.fixture
def direct(aws, settings):
    """Snapshots are read directly, by a user that the fake AWS takes us for."""
    settings.AWS_INSPECTION_METHOD = "direct"
    aws.client("iam").create_user(UserName="moto")
    return aws.client("iam")


RIGHTS = "cloudigrade-direct-inspection-test"


def test_direct_inspection_gives_us_the_right_to_read_snapshots(direct, requests, capsys):
    """13 §4: two rights, on snapshots that we have made."""
    assert provisionaws(capsys)[-1] == (f"IAM policy {RIGHTS}", "made")
    policy = direct.get_user_policy(UserName="moto", PolicyName=RIGHTS)["PolicyDocument"]
    (statement,) = policy["Statement"]
    assert statement["Action"] == ["ebs:ListSnapshotBlocks", "ebs:GetSnapshotBlock"]
    assert statement["Resource"] == "arn:aws:ec2:*::snapshot/*"
    condition = {"aws:ResourceTag/cloudigrade-environment": "test"}
    assert statement["Condition"] == {"StringEquals": condition}
    requests.clear()
    assert provisionaws(capsys)[-1] == (f"IAM policy {RIGHTS}", "in order")
    assert changes(requests) == []


def test_a_wrong_right_is_mended_and_removed_in_the_end(direct, capsys):
    direct.put_user_policy(
        UserName="moto",
        PolicyName=RIGHTS,
        PolicyDocument=json.dumps(direct_rights.policy_document()).replace("GetSnapshot", "Get"),
    )
    assert provisionaws(capsys)[-1] == (f"IAM policy {RIGHTS}", "mended")
    assert provisionaws(capsys, "--absent", "--confirm")[0] == (f"IAM policy {RIGHTS}", "removed")
    assert direct.list_user_policies(UserName="moto")["PolicyNames"] == []


def test_who_may_not_manage_its_own_rights_is_told_so(direct, aws, capsys, caplog):
    aws.refuse("iam", "GetUserPolicy", "AccessDenied")
    provisionaws(capsys)
    assert "somebody else has to allow us ebs:ListSnapshotBlocks and ebs:GetSnap" in caplog.text


@pytest.mark.parametrize(
    ("arn", "identity"),
    [
        ("arn:aws:iam::123456789012:user/path/to/worker", ("user", "worker")),
        ("arn:aws:sts::123456789012:assumed-role/pods/session", ("role", "pods")),
        ("arn:aws:iam::123456789012:root", None),
        ("nonsense", None),
    ],
)
def test_who_we_are(arn, identity):
    assert direct_rights.parse_identity(arn) == identity
