"""The stand-in for the inspector: its rules, and the machines that it plays."""

import json

import pytest

from api.clouds.aws.userdata import user_data
from deployment.local.houndigrade.machine import Machines, provide_launch_template
from deployment.local.houndigrade.tree import inspect_image, inspect_tree

RHEL = "Red Hat Enterprise Linux Server release 7.4 (Maipo)\n"
CENTOS = "CentOS Linux release 7.4\n"


@pytest.fixture
def disk(tmp_path):
    """Write files below a root."""

    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_D_", ".").replace("_H_", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def test_scenario_30_red_hat(disk):
    root = disk(etc__os_H_release='VERSION_ID="7.4"\n', etc__redhat_H_release=RHEL)
    entry = inspect_image(root, drive="/dev/xvdbb")
    assert (entry["rhel_release_files_found"], entry["rhel_version"]) == (True, "7.4")


def test_scenario_30_centos(disk):
    root = disk(etc__os_H_release='VERSION_ID="7.4"\n', etc__redhat_H_release=CENTOS)
    entry = inspect_image(root, drive="/dev/xvdbb")
    assert (entry["rhel_found"], entry["rhel_version"]) == (False, None)
    assert entry["drives"]["/dev/xvdbb"]["/dev/xvdbb1"]["facts"]["os_version"] == "7.4"


def test_an_empty_disk(tmp_path):
    assert not inspect_image(tmp_path / "nowhere", drive="/dev/xvdbb")["rhel_found"]


def test_an_unreadable_release_file_hides_no_other(disk):
    fact = inspect_tree(disk(etc__a_H_release=b"\xff", etc__redhat_H_release=RHEL))[
        "rhel_release_files"
    ]
    assert (fact["rhel_found"], fact["status"]) == (True, "not UTF-8: /etc/a-release")


def test_certificates(disk):
    fact = inspect_tree(disk(etc__pki__product__69_D_pem="x", etc__pki__product__70_D_pem="x"))
    assert fact["rhel_product_certs"]["rhel_found"]
    assert len(fact["rhel_product_certs"]["rhel_pem_files"]) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a]\nname = RHEL 8\nenabled = 1\n", True),
        ("[a]\nname = Red Hat 8\nenabled=1\n", True),
        ("[a]\nname = RHEL 8\nenabled = 0\n", False),
        ("[a]\nname = RHEL 8\n", False),
        ("[a]\nname = other\nenabled = 1\n", False),
        ("name = RHEL\nenabled = 1\n", False),
    ],
)
def test_repositories(disk, text, found):
    root = disk(etc__yum_D_conf="[main]\nreposdir='/my/repos'\n", my__repos__a_D_repo=text)
    assert inspect_tree(root)["rhel_enabled_repos"]["rhel_found"] == found


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("", None), (" ", None), ("{", None), ('{"role": "x"}', {"role": "x"}), ('"' * 2000, None)],
)
def test_syspurpose(disk, text, parsed):
    root = disk(etc__rhsm__syspurpose__syspurpose_D_json=text, etc__redhat_H_release=RHEL)
    assert inspect_image(root, drive="d")["syspurpose"] == parsed


def test_a_machine_delivers_what_its_user_data_asks_for(aws, disk, settings):
    aws.provision_primary_account("test")
    provide_launch_template(aws, "test")
    ec2 = aws.client("ec2")
    launch = {"LaunchTemplate": {"LaunchTemplateName": "cloudigrade-lt-test"}}
    ec2.run_instances(MinCount=1, MaxCount=1, UserData=user_data("ami-0123"), **launch)
    ec2.run_instances(MinCount=1, MaxCount=1, **launch)
    root = disk(etc__redhat_H_release=RHEL)
    machines = Machines(aws, {"ami-0123": root})
    assert machines.look() == ["ami-0123"]
    assert machines.look() == []
    s3 = aws.client("s3")
    (stored,) = s3.list_objects_v2(Bucket="test-cloudigrade-inspections")["Contents"]
    body = s3.get_object(Bucket="test-cloudigrade-inspections", Key=stored["Key"])["Body"].read()
    assert json.loads(body)["images"]["ami-0123"]["rhel_release_files_found"]
