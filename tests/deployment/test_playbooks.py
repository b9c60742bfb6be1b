"""The playbook for our AWS account (08 §17), run against the fake one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployment.local.service import REPOSITORY

PLAYBOOK = REPOSITORY / "deployment" / "playbooks" / "manage-cloudigrade.yml"
RESOURCES = [
    "SQS queue qa-cloudigrade-inspections-s3",
    "SQS queue qa-cloudigrade-cloudtrail-s3",
    "S3 bucket qa-cloudigrade-exports",
    "S3 bucket qa-cloudigrade-inspections",
    "S3 bucket qa-cloudigrade-trails",
    "EC2 key pair cloudigrade-ecs-ssh-qa",
    "EC2 security group cloudigrade-sg-qa",
    "IAM role cloudigrade-lt-qa-role",
    "EC2 launch template cloudigrade-lt-qa",
]

pytestmark = [pytest.mark.services, pytest.mark.e2e]


@pytest.fixture
def play(tmp_path):
    """Run the playbook; return its exit code and what it prints."""

    def run(*arguments):
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), PLAYBOOK, *arguments],
            cwd=tmp_path,
            env=os.environ
            | {
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
                "AWS_MAX_ATTEMPTS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def told(output):
    """What the playbook tells of each resource: changed or ok, and how."""
    told = re.findall(
        r'^(ok|changed): \[localhost\] => \(item=(.+?)\) => \{\n +"msg": "(.+)"', output, re.M
    )
    return {title: (status, verdict) for status, title, verdict in told}


def changed(output):
    return int(re.search(r"^localhost .*\bchanged=(\d+) .*failed=0 ", output, re.M)[1])


def every(status, verdict):
    return dict.fromkeys(RESOURCES, (status, verdict))


def everything(aws):
    """What there is in the account, in as much detail as it tells."""
    s3, sqs, ec2, iam = (aws.client(name) for name in ("s3", "sqs", "ec2", "iam"))
    found = {
        "keys": ec2.describe_key_pairs()["KeyPairs"],
        "templates": [
            ec2.describe_launch_template_versions(LaunchTemplateId=one["LaunchTemplateId"])
            for one in ec2.describe_launch_templates()["LaunchTemplates"]
        ],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "account": iam.get_account_authorization_details()["RoleDetailList"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "queues": [
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            for url in sqs.list_queues().get("QueueUrls", [])
        ],
        "buckets": [
            (
                name,
                s3.get_bucket_notification_configuration(Bucket=name),
                s3.get_bucket_lifecycle_configuration(Bucket=name),
                s3.get_public_access_block(Bucket=name),
                s3.get_bucket_encryption(Bucket=name),
            )
            for name in sorted(one["Name"] for one in s3.list_buckets()["Buckets"])
        ],
    }
    return without_metadata(found)


def without_metadata(node):
    if isinstance(node, dict):
        return {
            key: without_metadata(value) for key, value in node.items() if key != "ResponseMetadata"
        }
    return [without_metadata(one) for one in node] if isinstance(node, list | tuple) else node


@pytest.mark.slow
def test_scenario_26_the_playbook_makes_everything_and_then_nothing(aws, play):
    nothing = everything(aws)
    code, output = play("-e", "env=qa", "--check")
    assert code == 0, output
    assert told(output) == every("changed", "made")
    assert everything(aws) == nothing

    code, output = play("-e", "env=qa")
    assert code == 0, output
    assert told(output) == every("changed", "made")
    made = everything(aws)
    assert [name for name, *_ in made["buckets"]] == [
        "qa-cloudigrade-exports",
        "qa-cloudigrade-inspections",
        "qa-cloudigrade-trails",
    ]
    assert [len(made[what]) for what in ("keys", "templates", "profiles", "queues")] == [1, 1, 1, 4]

    for arguments in ([], ["--check"]):
        code, output = play("-e", "env=qa", *arguments)
        assert code == 0, output
        assert (told(output), changed(output)) == (every("ok", "in order"), 0)
        assert everything(aws) == made

    aws.client("s3").put_object(Bucket="qa-cloudigrade-trails", Key="AWSLogs/1", Body=b"log")
    code, output = play("-e", "env=qa", "-e", "aws_state=absent")
    assert code == 0, output
    assert told(output) == every("changed", "removed")
    assert everything(aws) == nothing

    code, output = play("-e", "env=qa", "-e", "aws_state=absent")
    assert code == 0, output
    assert (told(output), changed(output)) == (every("ok", "not there"), 0)


def test_by_default_it_is_about_the_developers_environment(aws, play):
    code, output = play("--check")
    assert code == 0, output
    assert "S3 bucket dev-cloudigrade-trails" in told(output)


@pytest.mark.parametrize("wrong", ["aws_state=gone", "env=PROD;", "env="])
def test_a_wrong_variable_stops_it_at_once(aws, play, wrong):
    code, output = play("-e", wrong)
    assert code == 2
    assert "env is a name of small letters" in output
    assert aws.calls() == []
