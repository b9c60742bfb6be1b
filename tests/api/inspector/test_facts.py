"""The rules of spec 05 §9, and those that spec 13 adds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.inspector.releases import System
from api.inspector.results import MAX_EVIDENCE
from tests.api.inspector.looking import look, root_facts
from tests.generators import systems
from tests.generators.disks import write_tree

RHEL = "Red Hat Enterprise Linux Server release 7.4 (Maipo)\n"
CENTOS = "CentOS Linux release 7.4\n"


@pytest.fixture
def said(tmp_path):
    """Return what an image says that has these files."""

    def say(files=(), links=()):
        return look(write_tree(tmp_path, {"etc/fstab": "", **dict(files)}, dict(links)))

    return say


def test_scenario_30_red_hat(said):
    entry = said({"etc/os-release": 'VERSION_ID="7.4"\n', "etc/redhat-release": RHEL})
    assert (entry["rhel_release_files_found"], entry["rhel_version"]) == (True, "7.4")


def test_scenario_30_centos(said):
    entry = said({"etc/os-release": 'VERSION_ID="7.4"\n', "etc/redhat-release": CENTOS})
    assert (entry["rhel_found"], entry["rhel_version"], entry["os_version"]) == (False, None, None)
    assert root_facts(entry)["os_version"] == "7.4"


def test_an_unreadable_release_file_hides_no_other(said):
    entry = said({"etc/a-release": b"\xff", "etc/redhat-release": RHEL})
    fact = root_facts(entry)["rhel_release_files"]
    assert (fact["rhel_found"], fact["status"]) == (True, "/etc/a-release is not UTF-8")


@pytest.mark.parametrize("text", ["red hat", "RedHat", "RED HAT", ""])
def test_red_hat_is_looked_for_exactly(said, text):
    assert not said({"etc/redhat-release": text})["rhel_found"]


def test_release_files_of_another_shape_are_none(said):
    entry = said({"etc/x-release/Red Hat": RHEL}, {"etc/gone-release": "/nowhere"})
    assert not entry["rhel_release_files_found"]
    assert entry["errors"] == []


def test_a_large_release_file_is_not_read(said):
    entry = said({"etc/redhat-release": RHEL * 40_000})
    assert "more than 1048576" in entry["errors"][0]


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ('VERSION_ID="8.4"', "8.4"),
        ("VERSION_ID='8.4'", "8.4"),
        ("VERSION_ID=8.4", "8.4"),
        (' VERSION_ID = "8.4" ', "8.4"),
        ("VERSION_ID=", None),
        ("#VERSION_ID=8", None),
        ("VERSION=8", None),
    ],
)
def test_versions(said, line, version):
    entry = said({"etc/redhat-release": RHEL, "etc/os-release": f'NAME="x"\n{line}\nID=rhel\n'})
    assert entry["rhel_version"] == version


def test_certificates(said):
    entry = said(
        {
            "etc/pki/product/69.pem": "x",
            "etc/pki/product/70.pem": "x",
            "etc/pki/product/x69.pem": "x",
            "etc/pki/product-default/479.pem": "x",
        }
    )
    assert entry["rhel_product_certs_found"]
    assert root_facts(entry)["rhel_product_certs"]["rhel_pem_files"] == [
        "/etc/pki/product/69.pem",
        "/etc/pki/product-default/479.pem",
    ]
    assert entry["product_ids"] == [69, 70, 479]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a]\nname = RHEL 8\nenabled = 1\n", True),
        ("[a]\nname = Red Hat 8\nenabled=1\n", True),
        ("[a]\nNAME = rED hAT 8\nENABLED: 1\n", True),
        ("[a]\nname = RHEL 8\nenabled = 0\n", False),
        ("[a]\nname = RHEL 8\nenabled = true\n", False),
        ("[a]\nname = RHEL 8\n", False),
        ("[a]\nname = other\nenabled = 1\n", False),
        ("name = RHEL\nenabled = 1\n", False),
        ("[a]\nname\nenabled = 1\n[b]\nname = RHEL %(x)s\nenabled = 1\n", True),
        ("[a]\nname = x\nenabled = 1\n[a]\nname = RHEL\nenabled = 1\n", True),
        ("\ufeff[a]\nname = RHEL\nenabled = 1\n", True),
        (b"[a]\nname = RHEL \xff\nenabled = 1\n", False),
    ],
)
def test_repositories(said, text, found):
    entry = said({"etc/yum.conf": "[main]\nreposdir='/my/repos'\n", "my/repos/a.repo": text})
    assert root_facts(entry)["rhel_enabled_repos"]["rhel_found"] == found


@pytest.mark.parametrize(
    "folders",
    ["/x, /my/repos", "'/my/repos'", '"/x","/my/repos/"', "/x,\n  /my/repos", "/x ,'/my/repos' "],
)
@pytest.mark.parametrize("file", ["etc/yum.conf", "etc/dnf/dnf.conf"])
def test_folders_of_repositories(said, folders, file):
    text = systems.repository("a", "RHEL")
    entry = said({file: f"[main]\nreposdir={folders}\n", "my/repos/a.repo": text})
    assert entry["rhel_enabled_repos_found"]


def test_repositories_in_the_configuration_itself_and_without_any(said):
    text = "[main]\nx = 1\n" + systems.repository("a", "RHEL")
    entry = said({"etc/yum.conf": text, "etc/yum.repos.d/b.repo": systems.repository("a", "RHEL")})
    assert root_facts(entry)["rhel_enabled_repos"]["rhel_enabled_repos"] == [
        {"repo": "a", "name": "RHEL"}
    ]


def test_an_unreadable_configuration_hides_no_repository(said):
    entry = said({"etc/yum.conf": "x", "etc/yum.repos.d/b.repo": systems.repository("a", "RHEL")})
    fact = root_facts(entry)["rhel_enabled_repos"]
    assert fact["rhel_found"]
    assert "/etc/yum.conf is not understood" in fact["status"]


def test_a_large_configuration_is_not_read(said):
    entry = said({"etc/yum.repos.d/a.repo": systems.repository("a", "RHEL") + "#" * 2**18})
    assert not entry["rhel_enabled_repos_found"]
    assert "more than 262144" in entry["errors"][0]


def test_syspurpose_needs_rhel_by_any_rule(said):
    """05 §9."""
    entry = said(
        {"etc/rhsm/syspurpose/syspurpose.json": '{"role": "x"}', "etc/pki/product/69.pem": ""}
    )
    assert entry["syspurpose"] == {"role": "x"}


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (systems.elf(62), "x86_64"),
        (systems.elf(183), "arm64"),
        (systems.elf(21), "ppc64le"),
        (systems.elf(22, order=">"), "s390x"),
        (systems.elf(500), "ELF machine 500"),
        (b"#!/bin/sh\n", None),
    ],
)
def test_architectures(said, program, name):
    """13 §6."""
    assert said({"sbin/init": program})["architecture_found"] == name


def test_the_dynamic_loader_tells_the_architecture_too(said):
    entry = said({"usr/lib/ld-linux-aarch64.so.1": systems.elf(183)}, {"lib": "usr/lib"})
    assert entry["architecture_found"] == "arm64"


@pytest.mark.parametrize(
    ("system", "is_like"),
    [
        (System("rhel", ("fedora",), "9.2"), False),
        (System("fedora", (), "38"), False),
        (System("debian", (), "12"), False),
        (System("centos", ("rhel", "fedora"), "7"), True),
        (System("rocky", ("rhel", "centos", "fedora"), "9.2"), True),
        (System("almalinux", (), "9.2"), True),
        (System("ol", ("fedora",), "8.6"), True),
        (System("scientific", ("rhel",), "7"), True),
        (System("eurolinux", (), "9"), True),
        (System("miraclelinux", ("rhel",), "9"), True),
        (System("amzn", ("centos", "rhel", "fedora"), "2"), False),
        (System("amzn", ("rhel", "fedora"), "2018.03"), False),
        (System("amzn", ("fedora",), "2023"), False),
        (System(None, (), None), False),
    ],
)
def test_what_is_like_rhel(system, is_like):
    """13 §6."""
    assert system.is_like_rhel == is_like


def test_registration(said):
    """13 §6."""
    entry = said(
        {
            "etc/pki/consumer/cert.pem": "",
            "etc/pki/entitlement/1.pem": "",
            "etc/pki/entitlement/2.pem": "",
            "etc/pki/entitlement/1-key.pem": "",
            "etc/pki/rhui/key": "",
        }
    )
    assert entry["consumer_cert_found"]
    assert entry["entitlement_certs_found"] == 2
    assert entry["rhui_client_found"]


def test_an_empty_folder_of_rhui_is_no_client(tmp_path):
    (tmp_path / "etc/pki/rhui").mkdir(parents=True)
    assert not look(tmp_path)["rhui_client_found"]


def test_evidence_says_why(tmp_path):
    entry = look(systems.rhel_7(tmp_path))
    evidence = entry["evidence"]
    assert evidence["rhel_release_files"] == {
        "paths": ["/etc/os-release", "/etc/redhat-release", "/etc/system-release"],
        "count": 3,
    }
    assert evidence["rhel_signed_packages"]["count"] == 41
    assert evidence["rhel_signed_packages"]["key_ids"] == {
        systems.RED_HAT: 41,
        systems.FEDORA: 1,
    }
    assert evidence["rhel_product_certs"]["paths"] == ["/etc/pki/product/69.pem"]
    assert len(json.dumps(evidence)) <= MAX_EVIDENCE


def test_evidence_and_results_are_bounded(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}{'x' * 200}-release").write_text("Red Hat" + "y" * 10_000)
    entry = look(tmp_path)
    assert len(json.dumps(entry["evidence"])) <= MAX_EVIDENCE
    assert len(json.dumps(entry)) < 500_000


def test_an_image_without_etc_is_inconclusive(tmp_path):
    (tmp_path / "boot").mkdir()
    assert look(tmp_path)["inconclusive"]


def test_devices_and_pipes_are_not_opened(tmp_path):
    import os  # noqa: PLC0415

    write_tree(tmp_path, {"etc/redhat-release": RHEL})
    os.mkfifo(tmp_path / "etc/os-release")
    os.mkfifo(tmp_path / "etc/pipe-release")
    assert look(tmp_path)["rhel_release_files_found"]


@given(name=st.text(min_size=1, max_size=30), text=st.text(max_size=100))
def test_any_os_release_is_read(name, text, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_tree(root, {"etc/redhat-release": RHEL, "etc/os-release": f"ID={name}\n{text}"})
    json.dumps(look(root), allow_nan=False).encode()
