"""What the inspection instance is told to do (spec 05 §5)."""

import json
import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

from api.clouds.aws.inspection.user_data import user_data

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


OURS = "cloudservices/cloudigrade-inspector:1.0.0"


@pytest.fixture
def our_script(settings):
    settings.AWS_INSPECTION_IMAGE = OURS
    settings.HOUNDIGRADE_SENTRY_DSN = "https://key@sentry.example.com/1"
    return part("text/x-shellscript")


def test_our_own_inspector_needs_no_privileges(our_script):
    """13 §4."""
    subprocess.run(["bash", "-n"], input=our_script, text=True, check=True)
    assert f"docker pull {OURS}" in our_script
    for option in ("--read-only", "--cap-drop ALL", '--device "$device:/dev/xvdbb:r"'):
        assert option in our_script
    for word in ("--privileged", "source=/dev", "SENTRY", "mount -"):
        assert word not in our_script
    assert f"{OURS} -c aws -t {AMI} /dev/xvdbb >> /var/log/houndigrade/inspection.log" in our_script
    assert "--env RESULTS_BUCKET_NAME=test-cloudigrade-inspections" in our_script


@pytest.mark.parametrize(
    ("disks", "expected"),
    [
        # Instances with NVMe: the disk is not the one with the root, nor a part of one.
        ({"vol0root": "nvme0n1", "vol0root-part1": "nvme0n1p1", "vol0copy": "nvme1n1"}, "nvme1n1"),
        ({"vol0copy": "nvme0n1", "vol0copy_1": "nvme0n1", "vol0root": "nvme1n1"}, "nvme0n1"),
    ],
)
def test_the_disk_is_found_by_its_volume_id(our_script, disks, expected, tmp_path):
    """13 §4: current instance types have NVMe disks, whose names say nothing."""
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    for name, disk in disks.items():
        (by_id / f"nvme-Amazon_Elastic_Block_Store_{name}").symlink_to(f"/dev/{disk}")
    root = next(disk for name, disk in disks.items() if name == "vol0root")
    found = our_script[our_script.index("device=/dev/xvdbb") : our_script.index("docker pull")]
    program = (
        f"findmnt() {{ echo /dev/{root}p1; }}\nlsblk() {{ echo {root}; }}\n"
        + found.replace("/dev/disk/by-id", str(by_id)).replace("/dev/xvdbb", "/no/such/device")
        + 'echo "$device"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"/dev/{expected}"


def test_shellcheck_finds_nothing_in_our_script(our_script, tmp_path):
    program = Path(sys.executable).with_name("shellcheck")
    if not program.exists():
        pytest.skip("shellcheck has no wheel for this machine")
    script = tmp_path / "script"
    script.write_text(our_script)
    done = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
