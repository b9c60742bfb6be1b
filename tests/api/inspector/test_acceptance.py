"""The acceptance items of spec 13 §5, but for those about ``direct`` (11 to 14)."""

import hashlib
import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from api.inspector import packages
from api.inspector.drive import inspect_drive
from api.inspector.errors import Notes
from api.inspector.isolation import inspect_isolated
from api.inspector.limits import MAX_ENTRIES, MIB, Limits
from api.inspector.results import make_entry
from api.inspector.sources import FileSource
from deployment.local.service import REPOSITORY
from tests.api.inspector import corpus
from tests.api.inspector.looking import LIMITS, look, of_system, root_facts, tree_of
from tests.api.inspector.running import assert_valid, run_program
from tests.generators import disks, rpmdb, systems
from tests.generators.disks import write_tree

pytestmark = pytest.mark.slow

RHEL_7_DISKS = [name for name in corpus.names() if name.startswith("rhel7-")]


@pytest.fixture(scope="module")
def rhel_7(tmp_path_factory):
    return of_system(look(systems.scenario_30(tmp_path_factory.mktemp("tree"))))


@pytest.mark.parametrize("name", RHEL_7_DISKS)
def test_acceptance_01_the_same_facts_on_every_kind_of_disk(name, rhel_7, tmp_path):
    image = corpus.unpack(name, tmp_path)
    before = hashlib.sha256(image.read_bytes()).digest()
    entry = look(image)
    assert of_system(entry) == rhel_7
    assert (entry["rhel_version"], entry["errors"]) == ("7.4", [])
    assert entry["journal_dirty"] == name.endswith("dirty")
    assert hashlib.sha256(image.read_bytes()).digest() == before


def test_acceptance_01_the_corpus_has_all_kinds_and_is_small():
    kinds = {"ext2", "ext3", "ext4", "xfs", "lvm", "gpt", "mbr", "extended", "4096", "striped"}
    assert kinds <= {part for name in RHEL_7_DISKS for part in name.split("-")}
    for path in corpus.FOLDER.glob(f"*{corpus.SUFFIX}"):
        assert path.stat().st_size < corpus.MAX_SIZE


@pytest.mark.parametrize(
    ("name", "count", "signed"), [("rhel7-xfs", 42, 41), ("rhel8-gpt-xfs", 51, 51)]
)
def test_acceptance_02_berkeley_databases(name, count, signed, tmp_path):
    entry = look(corpus.unpack(name, tmp_path))
    fact = root_facts(entry)["rhel_signed_packages"]
    assert (entry["package_count"], fact["rhel_signed_package_count"]) == (count, signed)
    assert fact["databases"] == ["/var/lib/rpm/Packages"]


def test_acceptance_02_sqlite_with_what_only_the_log_holds(tmp_path):
    entry = look(corpus.unpack("rhel9-gpt-xfs", tmp_path))
    fact = root_facts(entry)["rhel_signed_packages"]
    assert (entry["package_count"], fact["rhel_signed_package_count"]) == (66, 65)


@pytest.mark.parametrize(
    ("name", "is_rhel", "is_like", "version", "count"),
    [
        ("centos7-mbr-xfs", False, True, None, 30),
        # Oracle ships a release file with Red Hat's name: as compatible as it is wrong.
        ("oracle8-gpt-xfs", True, True, "8.6", 30),
        ("fedora38-gpt-ext4", False, False, None, 30),
    ],
)
def test_acceptance_03_other_systems(name, is_rhel, is_like, version, count, tmp_path):
    entry = look(corpus.unpack(name, tmp_path))
    assert (entry["rhel_found"], entry["rhel_like"], entry["rhel_version"]) == (
        is_rhel,
        is_like,
        version,
    )
    assert entry["rhel_release_files_found"] == is_rhel
    assert not entry["rhel_signed_packages_found"]
    assert entry["package_count"] == count


def test_acceptance_04_an_ostree_deployment(tmp_path):
    entry = look(corpus.unpack("rhel9-ostree-xfs", tmp_path))
    (partition,) = next(iter(entry["drives"].values())).values()
    assert partition["deployment"] == "/ostree/deploy/rhel/deploy/abc.0"
    assert (entry["rhel_version"], entry["package_count"]) == ("9.2", 66)


@pytest.mark.parametrize(
    ("text", "purpose", "has_error"),
    [
        (json.dumps({"role": "x" * 2048}), None, True),
        (" \n", None, False),
        ("", None, False),
        ('{"role": ', None, True),
        ('["x", 1]', ["x", 1], False),
        ('{"role": null}', {"role": None}, False),
        ('{"role": NaN}', None, True),
        ('{"role": 1e999}', None, True),
        ("[" * 500 + "]" * 500, None, True),
        (b"\xff\xfe", None, True),
    ],
)
def test_acceptance_05_syspurpose(text, purpose, has_error, tmp_path):
    systems.rhel_7(tmp_path)
    write_tree(tmp_path, {"etc/rhsm/syspurpose/syspurpose.json": text})
    entry = look(tmp_path)
    assert entry["syspurpose"] == purpose
    assert bool(entry["errors"]) == has_error
    assert_valid(entry)


def test_acceptance_05_syspurpose_of_what_is_not_rhel_is_not_told(tmp_path):
    systems.centos_7(tmp_path)
    write_tree(tmp_path, {"etc/rhsm/syspurpose/syspurpose.json": "{}"})
    assert look(tmp_path)["syspurpose"] is None


@pytest.mark.parametrize("name", ["rhel7-gpt-xfs", "rhel7-ext4", "rhel7-mbr-lvm-two-volumes-xfs"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9])
def test_acceptance_06_a_truncated_disk(name, share, tmp_path):
    whole = corpus.content(name)
    image = tmp_path / "disk.img"
    image.write_bytes(whole[: int(len(whole) * share)])
    entry = look(image)
    assert_valid(entry)
    assert entry["errors"] or entry["inconclusive"] or entry["rhel_found"]


def test_acceptance_06_random_bytes(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(random.Random(1).randbytes(4 * MIB))
    entry = look(image)
    assert_valid(entry)
    assert entry["inconclusive"]


def test_acceptance_07_with_a_sentry_dsn_it_inspects_all_the_same(tmp_path):
    image, output = corpus.unpack("rhel7-xfs", tmp_path), tmp_path / "result.json"
    done = run_program(
        *("--cloud", "aws", "--target", "ami-1", image, "--output", output),
        HOUNDIGRADE_SENTRY_DSN="https://key@sentry.invalid/1",
        SENTRY_DSN="https://key@sentry.invalid/1",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["images"]["ami-1"]["rhel_version"] == "7.4"


def test_acceptance_08_two_targets_one_of_them_missing(tmp_path):
    image, output = corpus.unpack("rhel8-gpt-xfs", tmp_path), tmp_path / "result.json"
    missing = tmp_path / "nowhere"
    done = run_program(
        *("-t", "ami-1", missing, "-t", "ami-2", image, "--output", output),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert result["images"]["ami-2"]["rhel_found"]
    assert result["images"]["ami-1"]["inconclusive"]
    assert result["images"]["ami-1"]["drives"] == {str(missing): {}}
    assert str(missing) in result["images"]["ami-1"]["errors"][0]
    assert str(missing) in result["errors"][0]


def test_acceptance_09_the_same_api_fields_as_the_old_container(tmp_path):
    """The example of 05 §8, and a disk of the same content."""
    text = "Red Hat Enterprise Linux release 8.4 (Ootpa)\n"
    purpose = {**systems.PURPOSE}
    old = {
        "rhel_release_files_found": True,
        "rhel_product_certs_found": False,
        "rhel_enabled_repos_found": False,
        "rhel_signed_packages_found": True,
        "rhel_version": "8.4",
        "syspurpose": purpose,
    }
    headers = [rpmdb.header(one) for one in rpmdb.packages(412, rpmdb.RED_HAT)]
    files = {
        "etc/redhat-release": text,
        "etc/os-release": 'ID="rhel"\nVERSION_ID="8.4"\n',
        "etc/rhsm/syspurpose/syspurpose.json": json.dumps(purpose),
        "var/lib/rpm/Packages": rpmdb.berkeley(headers),
    }
    entry = look(write_tree(tmp_path, files))
    assert {key: entry[key] for key in old} == old
    facts = root_facts(entry)
    assert facts["rhel_signed_packages"]["rhel_signed_package_count"] == 412
    (release,) = [one for one in facts["rhel_release_files"]["release_files"] if one["rhel_found"]]
    assert release == {
        "rhel_release_file": "/etc/redhat-release",
        "rhel_release_file_contents": text,
        "rhel_found": True,
    }
    assert facts["os_version"] == "8.4"
    assert json.loads(facts["syspurpose_contents"]) == purpose


def test_acceptance_10_sectors_of_4096_bytes(rhel_7, tmp_path):
    image = corpus.unpack("rhel7-gpt-4096-xfs-4096", tmp_path)
    entry = look(image)
    assert of_system(entry) == rhel_7
    assert list(entry["drives"][str(image)]) == [f"{image}1", f"{image}2"]


def test_acceptance_15_luks(tmp_path):
    image = corpus.unpack("luks", tmp_path)
    entry = look(image)
    assert (entry["encrypted"], entry["inconclusive"], entry["errors"]) == (True, True, [])
    assert entry["drives"][str(image)][f"{image}2"]["filesystem"] == "crypto_LUKS"
    assert_valid(entry)


def test_acceptance_16_the_core_imports_no_django():
    """The import contract says it of the source; this, of what runs."""
    program = (
        "import sys, api.inspector.command, api.inspector.child, api.inspector.ebs\n"
        "ours = {name for name in sys.modules if name.split('.')[0] in "
        "('django', 'cloudigrade', 'util', 'celery')}\n"
        "others = {name for name in sys.modules if name.startswith('api.')"
        " and not name.startswith('api.inspector')}\n"
        "sys.exit(str(ours | others) if ours | others else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_acceptance_16_the_parent_needs_no_reader():
    program = (
        "import sys, api.inspector.command, api.inspector.isolation, api.inspector.ebs\n"
        "sys.exit(str([one for one in sys.modules if one.startswith('pyfs')] or '') or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_acceptance_17_links_in_a_circle(tmp_path):
    write_tree(
        tmp_path,
        {"etc/redhat-release": "Red Hat"},
        {
            "etc/a-release": "b-release",
            "etc/b-release": "a-release",
            "etc/os-release": "os-release",
            "etc/pki": "../etc/pki",
            "var": "/var",
        },
    )
    entry = look(tmp_path)
    assert entry["rhel_release_files_found"]
    assert "more than 40 symbolic links" in " ".join(entry["errors"])


def test_acceptance_17_a_link_out_of_the_image_stays_inside(tmp_path):
    (tmp_path / "secret").write_text("Red Hat outside")
    root = write_tree(
        tmp_path / "root",
        {"secret": "inside"},
        {"etc/a-release": "../../../../secret", "etc/b-release": f"{tmp_path}/secret"},
    )
    files = root_facts(look(root))["rhel_release_files"]["release_files"]
    assert [one["rhel_release_file_contents"] for one in files] == ["inside"]


@pytest.mark.skipif(not disks.can_make("ext4"), reason="mke2fs of e2fsprogs is not here")
def test_acceptance_17_a_directory_in_itself(tmp_path):
    """etc/loop is a hard link to etc, which no honest file system has."""
    tree = write_tree(
        tmp_path / "tree",
        {"etc/redhat-release": "Red Hat", "etc/yum.repos.d/x/y": ""},
    )
    image = tmp_path / "disk.img"
    disks.make_file_system("ext4", tree, image, size=8 * MIB)
    subprocess.run(
        ["/sbin/debugfs", "-w", "-R", "link /etc /etc/yum.repos.d/again.repo", image],
        check=True,
        capture_output=True,
    )
    entry = look(image)
    assert entry["rhel_release_files_found"]
    assert_valid(entry)


@pytest.mark.slow
@pytest.mark.skipif(not disks.can_make("xfs"), reason="mkfs.xfs of xfsprogs is not here")
def test_acceptance_17_a_million_entries(tmp_path):
    release = tmp_path / "redhat-release"
    release.write_text("Red Hat")
    image, prototype = tmp_path / "disk.img", tmp_path / "proto"
    with prototype.open("w") as file:
        file.write("/\n0 0\nd--755 0 0\netc d--755 0 0\n")
        file.write(f"redhat-release ---644 0 0 {release}\nyum.repos.d d--755 0 0\n")
        for number in range(10**6):
            file.write(f"{number}.repo l--777 0 0 x\n")
        file.write("$\n$\n$\n$\n")
    with image.open("wb") as file:
        file.truncate(3072 * MIB)
    command = [disks.program("mkfs.xfs"), "-q", "-p", prototype, image]
    subprocess.run(command, check=True, capture_output=True)
    entry = look(image, Limits(seconds=240, memory_bytes=256 * MIB))
    assert entry["rhel_release_files_found"]
    assert any("/etc/yum.repos.d: is a directory of" in error for error in entry["errors"])
    assert_valid(entry)


def test_acceptance_17_more_entries_than_are_looked_at(tmp_path):
    folder = tmp_path / "etc/yum.repos.d"
    folder.mkdir(parents=True)
    for number in range(MAX_ENTRIES + 5):
        (folder / f"{number}").touch()
    entry = look(tmp_path)
    assert entry["errors"] == [
        f"{tmp_path}: /etc/yum.repos.d: has more than 10000 entries; the others are left out"
    ]


def test_acceptance_18_as_an_unprivileged_user(tmp_path):
    """The drive is read, and written to by nobody; nothing else is needed."""
    image = corpus.unpack("rhel7-gpt-lvm-xfs", tmp_path)
    image.chmod(0o444)
    before = image.stat()
    if os.geteuid() == 0:
        # Root may read everything, so that it proves nothing: become nobody.
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    report = read_as_nobody(image)
    assert make_entry({str(image): report}, [])["rhel_version"] == "7.4"
    assert image.stat().st_mtime_ns == before.st_mtime_ns


def read_as_nobody(image):
    """Return the partitions that a process of the user 65534 finds; this one if not root."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            with FileSource(image) as source:
                found = dict(
                    inspect_drive(source, str(image), notes=Notes(), begin=lambda path: None)
                )
            with os.fdopen(writer, "w") as pipe:
                json.dump(found, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


DATABASES = {
    "Packages": lambda path, headers: path.write_bytes(rpmdb.berkeley(headers)),
    "Packages.db": lambda path, headers: path.write_bytes(rpmdb.ndb(headers)),
    "rpmdb.sqlite": rpmdb.write_sqlite,
}


@pytest.mark.parametrize("name", DATABASES)
def test_acceptance_19_one_corrupt_header_among_600(name, tmp_path):
    headers = [rpmdb.header(one) for one in rpmdb.packages(600, rpmdb.RED_HAT)]
    headers[300] = b"\x7f" + headers[300][1:]
    path = tmp_path / "var/lib/rpm" / name
    path.parent.mkdir(parents=True)
    DATABASES[name](path, headers)
    found = packages.read_packages(tree_of(tmp_path))
    assert (found.count, found.signed) == (599, 599)
    assert len(found.errors) == 1
    assert f"/var/lib/rpm/{name}" in found.errors[0]


def test_acceptance_20_a_typical_disk_needs_little(tmp_path):
    """`make bench` has the figures; this is their shape: only what is needed is read."""
    with FileSource(corpus.unpack("rhel9-gpt-xfs", tmp_path)) as source:
        report = inspect_isolated(source, "disk", LIMITS)
    assert 0 < report.bytes_read < 4 * MIB
