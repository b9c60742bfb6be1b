"""What the inspection instance is told to do (spec 05 §5)."""

import json
import re
import subprocess
from email import message_from_string

import pytest

from api.clouds.aws.userdata import user_data

AMI = "ami-0123456789abcdef0"


@pytest.fixture
def script(settings):
    settings.HOUNDIGRADE_SENTRY_DSN = "https://key@sentry.example.com/1?a=b&c=$(reboot)"
    return part("text/x-shellscript")


def part(kind):
    (found,) = (
        one for one in message_from_string(user_data(AMI)).walk() if one.get_content_type() == kind
    )
    return found.get_payload(decode=True).decode()


def test_scripts_run_at_every_boot():
    text = part("text/cloud-config")
    assert text.startswith("#cloud-config")
    assert "cloud_final_modules" in text
    assert "scripts-user, always" in text


def test_it_is_a_shell_script(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_deadline_comes_first_and_an_end_last(script):
    lines = script.splitlines()
    assert lines[1] == "shutdown -h +60"
    assert lines[-1] == "shutdown -h now"


def test_both_logs_go_to_cloudwatch(script):
    text = re.search(r"<<'CONFIGURATION'\n(.*?)\nCONFIGURATION", script, re.DOTALL)[1]
    logs = json.loads(text)["logs"]["logs_collected"]["files"]["collect_list"]
    assert {(one["log_group_name"], one["log_stream_name"]) for one in logs} == {
        ("houndigrade-test", f"{AMI}-inspection"),
        ("houndigrade-test", f"{AMI}-system"),
    }
    assert {one["retention_in_days"] for one in logs} == {90}


def test_the_inspector_gets_its_environment_quoted(script):
    assert "'HOUNDIGRADE_SENTRY_DSN=https://key@sentry.example.com/1?a=b&c=$(reboot)'" in script
    for name in (
        "AWS_DEFAULT_REGION=us-east-1",
        "HOUNDIGRADE_SENTRY_RELEASE=latest",
        "HOUNDIGRADE_SENTRY_ENVIRONMENT=",
        "RESULTS_BUCKET_NAME=test-cloudigrade-inspections",
    ):
        assert f"--env {name} " in script
    assert f"-c aws -t {AMI} /dev/xvdbb" in script
    assert "source=/dev,target=/dev" in script
    assert "--rm --privileged" in script
